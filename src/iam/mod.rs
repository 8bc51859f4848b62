//! The policy language of AWS IAM: compiled when loaded, evaluated per request.
