//! STS or S3: one rule.

use http::{HeaderMap, Method, header};

use crate::s3::Place;

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Sts,
    S3,
}

impl Route {
    /// STS lives at `/` and `/sts` of the gateway's own names, never of a bucket's. S3 has no operation `POST /`, and no query
    /// parameter `Action`.
    pub(super) fn of(place: &Place, method: &Method, path: &str, query: &str, headers: &HeaderMap) -> Self {
        if *place != Place::Gateway || !matches!(path, "/" | "/sts" | "/sts/") {
            return Self::S3;
        }
        let has_action = query.split('&').any(|pair| pair.starts_with("Action="));
        let is_form = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"));
        let is_sts = match *method {
            Method::POST => path == "/" || has_action || is_form,
            Method::GET => has_action,
            _ => false,
        };
        if is_sts { Self::Sts } else { Self::S3 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(
        place: &Place,
        method: &Method,
        path: &str,
        query: &str,
        content_type: Option<&'static str>,
    ) -> Route {
        let mut headers = HeaderMap::new();
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
        }
        Route::of(place, method, path, query, &headers)
    }

    #[test]
    fn sts_is_at_the_root_and_at_sts_of_our_own_names() {
        let form = Some("application/x-www-form-urlencoded; charset=utf-8");
        for (method, path, query, content_type) in [
            (&Method::POST, "/", "", form),
            (&Method::POST, "/", "", None),
            (&Method::POST, "/", "Action=AssumeRole", None),
            (&Method::GET, "/", "Version=2011-06-15&Action=GetCallerIdentity", None),
            (&Method::POST, "/sts", "", form),
            (&Method::POST, "/sts/", "", form),
            (&Method::GET, "/sts", "Action=GetCallerIdentity", None),
        ] {
            assert_eq!(
                route(&Place::Gateway, method, path, query, content_type),
                Route::Sts,
                "{path}?{query}"
            );
        }
    }

    #[test]
    fn a_bucket_is_never_sts() {
        let form = Some("application/x-www-form-urlencoded");
        let bucket = Place::Bucket("photos".to_owned());
        assert_eq!(route(&bucket, &Method::POST, "/", "", form), Route::S3);
        assert_eq!(route(&bucket, &Method::GET, "/", "Action=GetCallerIdentity", None), Route::S3);
        assert_eq!(route(&Place::Gateway, &Method::POST, "/photos", "", form), Route::S3);
        assert_eq!(route(&Place::Gateway, &Method::GET, "/", "", None), Route::S3);
        assert_eq!(route(&Place::Gateway, &Method::GET, "/sts", "", None), Route::S3);
        assert_eq!(route(&Place::Gateway, &Method::POST, "/sts", "delete=", None), Route::S3);
        assert_eq!(route(&Place::Gateway, &Method::PUT, "/", "Action=x", None), Route::S3);
    }
}
