//! What the code's shape promises: who may import whom, how long a file may grow, which tests the documents name.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Bottom to top; a module may import those that stand before its own line, and itself.
///
/// A line holds modules that do not import each other.
const LAYERS: &[&[&str]] = &[
    &["arn", "clock", "digest", "excerpt", "outbound_tls", "rate", "secret"],
    &["telemetry"],
    &["admin_client", "iam", "sigv4"],
    &["identity"],
    &["credentials", "s3"],
    &["audit", "sts", "backend", "server"],
    &["gateway"],
    &["config"],
    &["app", "explain", "health", "lint", "online", "revoke"],
    &["arguments", "demo"],
    &["main"],
];

/// Edges within the rule that are still not wanted: the gateway's parts know nothing of the file format.
const CONFIG_IS_FOR: &[&str] = &["app", "demo", "explain", "lint", "main"];

/// Modules that do no I/O: neither sockets nor files nor the clock.
const PURE: &[&str] = &["arn", "iam", "sigv4", "s3"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn module_of(file: &Path) -> String {
    let relative = file.strip_prefix(root().join("src")).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The part of a file before its tests.
fn product_code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    text.split("\n#[cfg(test)]").next().unwrap_or_default().to_owned()
}

/// The crate's modules that a text names after `crate::`, alone or in braces.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let after = &text[at + "crate::".len()..];
        if let Some(list) = after.strip_prefix('{') {
            let mut depth = 0_u32;
            let mut name = String::new();
            for character in list.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => found.push(std::mem::take(&mut name)),
                    _ if depth == 0 => name.push(character),
                    _ => {}
                }
            }
            found.push(name);
        } else {
            found.push(after.to_owned());
        }
    }
    found
        .iter()
        .map(|path| path.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>())
        .filter(|name| !name.is_empty())
        .collect()
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

#[test]
fn imports_go_from_the_upper_layers_to_the_lower_ones_only() {
    let mut wrong = Vec::new();
    for file in rust_files(&root().join("src")) {
        let module = module_of(&file);
        if module == "lib" {
            continue;
        }
        let layer = layer_of(&module).unwrap_or_else(|| panic!("`{module}` has no place in the table"));
        for imported in imports(&product_code(&file)) {
            let Some(below) = layer_of(&imported) else { continue };
            let forbidden = imported == "config" && !CONFIG_IS_FOR.contains(&module.as_str());
            if imported != module && (below >= layer || (forbidden && module != "config")) {
                wrong.push(format!("{} imports {imported}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_modules_touch_neither_sockets_nor_files_nor_the_clock() {
    for file in rust_files(&root().join("src")) {
        if !PURE.contains(&module_of(&file).as_str()) {
            continue;
        }
        let code = product_code(&file);
        for io in
            ["tokio::", "std::fs", "std::net::Tcp", "std::env", "SystemTime::now", "Instant::now", "hyper::"]
        {
            assert!(!code.contains(io), "{} uses {io}", file.display());
        }
    }
}

/// What comes before it makes the proof that it asks for.
#[test]
fn the_storage_is_reached_in_one_place_that_asks_whether_it_is_recorded() {
    let files = rust_files(&root().join("src"));
    let sends: Vec<_> = files.iter().filter(|file| product_code(file).contains("backend.send(")).collect();
    assert_eq!(sends, [&root().join("src/gateway/objects.rs")]);
    let makes: Vec<_> = files.iter().filter(|file| product_code(file).contains("Recorded(())")).collect();
    assert_eq!(makes, [&root().join("src/audit/mod.rs")]);
}

#[test]
fn no_file_is_longer_than_400_lines_before_its_tests() {
    let long: BTreeMap<_, _> = rust_files(&root().join("src"))
        .into_iter()
        .filter(|file| !file.ends_with("tests.rs"))
        .map(|file| (product_code(&file).lines().count(), file))
        .filter(|(lines, _)| *lines > 400)
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

/// Every `path::name` of a test that a document names in backticks, as `tests/it/g1.rs::an_unknown_key_is_refused`.
fn named_tests(document: &str) -> Vec<(String, String)> {
    let mut named = Vec::new();
    for (index, piece) in document.split('`').enumerate() {
        if index % 2 == 1
            && let Some((file, name)) = piece.split_once("::")
            && Path::new(file).extension().is_some_and(|extension| extension == "rs" || extension == "py")
        {
            named.push((file.to_owned(), name.rsplit("::").next().unwrap_or(name).to_owned()));
        }
    }
    named
}

#[test]
fn every_test_that_the_security_cases_name_exists() {
    let document = fs::read_to_string(root().join("docs/security-cases.md")).unwrap();
    let named = named_tests(&document);
    assert!(named.len() >= 90, "only {} tests are named", named.len());
    let mut missing = Vec::new();
    for (file, name) in named {
        let Ok(text) = fs::read_to_string(root().join(&file)) else {
            missing.push(format!("{file} (no such file)"));
            continue;
        };
        let defined = text.contains(&format!("fn {name}(")) || text.contains(&format!("def {name}("));
        if !defined {
            missing.push(format!("{file}::{name}"));
        }
    }
    assert!(missing.is_empty(), "named in docs/security-cases.md, but not there: {missing:#?}");
}

#[test]
fn every_security_case_names_a_test() {
    let document = fs::read_to_string(root().join("docs/security-cases.md")).unwrap();
    let rows: Vec<&str> =
        document.lines().filter(|line| line.starts_with("| ") && line.contains("| P")).collect();
    let bare: Vec<&&str> = rows.iter().filter(|row| named_tests(row).is_empty()).collect();
    assert!(bare.is_empty(), "cases without a test: {bare:#?}");
}

#[test]
fn the_links_within_the_documents_lead_somewhere() {
    let mut documents: Vec<PathBuf> = Vec::new();
    for folder in
        [root().to_path_buf(), root().join("docs"), root().join("docs/decisions"), root().join("examples")]
    {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        documents.extend(
            entries
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|e| e == "md")),
        );
    }
    let mut broken = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap_or_default();
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                continue;
            }
            if !document.parent().unwrap().join(path).exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_errors_are_all_in_their_document() {
    let document = fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let (s3, sts) = document.split_once("## STS").unwrap();
    for code in daypass::s3::ErrorCode::ALL {
        assert!(
            s3.contains(&format!("| `{}` | {} |", code.as_str(), code.status().as_u16())),
            "{}",
            code.as_str()
        );
    }
    for code in daypass::sts::ErrorCode::ALL {
        assert!(
            sts.contains(&format!("| `{}` | {} |", code.as_str(), code.status().as_u16())),
            "{}",
            code.as_str()
        );
    }
}

#[test]
fn about_a_hundred_and_ten_operations_are_known_each_with_its_action() {
    let specs: Vec<_> = daypass::s3::operation::all().collect();
    assert!(specs.len() >= 105, "{}", specs.len());
    for spec in specs {
        assert!(!spec.actions.is_empty(), "{}", spec.name);
        assert!(spec.actions.iter().all(|action| action.contains(':')), "{}", spec.name);
    }
}

#[test]
fn every_key_of_those_who_prove_somebody_is_in_the_document() {
    let configuration = fs::read_to_string(root().join("config/daypass.toml")).unwrap();
    let document = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let (_, ways) = configuration.split_once("# [[oidc]]").unwrap();
    let (ways, _) = ways.split_once("[limits]").unwrap();
    let keys: Vec<&str> = ways
        .lines()
        .filter_map(|line| Some(line.trim_start().strip_prefix("# ")?.split_once(" = ")?.0))
        .collect();
    assert!(keys.len() > 45, "only {} keys", keys.len());
    // A secret stands there by its name alone.
    let has = |key: &str| document.contains(&format!("`{key}`"));
    let missing: Vec<&&str> =
        keys.iter().filter(|key| !has(key) && !key.strip_suffix("_file").is_some_and(has)).collect();
    assert!(missing.is_empty(), "docs/configuration.md says nothing of {missing:?}");
}

/// Secrets come from the environment or from files that a gateway makes itself; authorities are somebody's, one is as good as another.
#[test]
fn every_example_is_a_configuration() {
    let mut seen = 0;
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let example = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(example.join("daypass.toml")) else { continue };
        seen += 1;
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, content).unwrap();
            fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        };
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        write("secrets/sealing.keys", crate::support::SEALING_KEY);
        write("tls/server.pem", &made.cert.pem());
        write("tls/server.key", &made.signing_key.serialize_pem());
        write("tls/bundle.pem", &authority());
        write("tls/ca.crt", &authority());
        for (at, mounted) in text.match_indices("/run/secrets/") {
            let name = text[at + mounted.len()..].split('"').next().unwrap();
            if !name.contains('/') && name != "sealing.keys" {
                write(&format!("secrets/{name}"), &format!("a-secret-of-its-own-for-{name}"));
            }
        }
        write(
            "daypass.toml",
            &text
                .replace("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", "tls/ca.crt")
                .replace("\"/run/secrets/", "\"secrets/"),
        );
        let file = folder.path().join("daypass.toml");
        let loaded = daypass::config::load(&file, &|name| Some(format!("value-of-{name}")));
        assert!(loaded.is_ok(), "{}: {}", example.display(), loaded.unwrap_err());
        let readme = fs::read_to_string(root().join("examples/README.md")).unwrap();
        let name = example.file_name().unwrap().to_str().unwrap();
        assert!(readme.contains(&format!("[{name}/]({name}/")), "examples/README.md says nothing of {name}");
    }
    assert!(seen >= 10, "only {seen} examples have a configuration");
}

fn authority() -> String {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap().pem()
}
