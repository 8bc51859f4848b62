//! `daypass demo --once`, as a newcomer runs it.

use std::process::Command;

#[test]
fn every_step_of_the_tour_goes_as_it_should_and_shows_no_secret() {
    let demo = Command::new(env!("CARGO_BIN_EXE_daypass")).args(["demo", "--once"]).output().unwrap();
    let (said, complaints) =
        (String::from_utf8(demo.stdout).unwrap(), String::from_utf8(demo.stderr).unwrap());
    assert!(demo.status.success(), "{said}{complaints}");
    assert_eq!(complaints, "");
    for action in ["WebIdentity", "ClientGrants", "LDAPIdentity"] {
        assert!(said.contains(&format!("sts:AssumeRoleWith{action}")), "{said}");
    }
    // Passwords, secrets and tokens are long words with digits, longer than any access key id.
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut words = said.split(|c: char| !word(c));
    let secret = words.find(|word| word.len() > 20 && word.contains(|c: char| c.is_ascii_digit()));
    assert_eq!(secret, None, "{said}");
}
