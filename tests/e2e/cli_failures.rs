//! How the command line fails: every exit code, with what to do about it, against a real Envoy and store.

use linkgate_tests::random;
use linkgate_tests::whole::package;
use linkgate_tests::{Behaviour, package_of};
use serde_json::{Value, json};

use crate::cli::{Desk, finish};

async fn fail_with(desk: &Desk, arguments: &[&str], set: &[(&str, &str)], code: i32) -> Value {
    let mut command = desk.command(&[arguments, &["--json"]].concat());
    command.envs(set.iter().copied());
    let said = finish(command).await;
    assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{arguments:?}: {said:?}");
    let line = said.err.lines().last().unwrap_or_default();
    serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {said:?}"))["error"].take()
}

#[tokio::test]
async fn who_is_not_known_or_may_not_is_told_which() {
    let desk = Desk::under(|policy, _| policy["grants"][0]["actions"] = json!(["read"])).await;
    let wrong = random();
    let error = fail_with(&desk, &["usage"], &[("LINKGATE_APP_SECRET", &wrong)], 4).await;
    assert_eq!((&error["code"], &error["kind"]), (&json!("INVALID_ARGS"), &json!("not_allowed")));
    assert_eq!(error["reason"], "bk_app_code or bk_app_secret is incorrect");
    assert!(error["request_id"].is_string() && error["next"].is_string(), "{error}");
    let error = desk.fail(&["push", "app.tar.gz", "--version", "1"], 4).await;
    assert_eq!(error["code"], "APP_NO_PERMISSION");
    // A large file is not sent in vain, and the refusal is not lost in a connection that breaks.
    std::fs::write(desk.path("large.tar.gz"), vec![0; 32 << 20]).unwrap();
    assert_eq!(desk.fail(&["push", "large.tar.gz", "--version", "1"], 4).await["code"], "APP_NO_PERMISSION");
    let nobody = [("LINKGATE_APP_SECRET", ""), ("LINKGATE_BK_TICKET", "")];
    let error = fail_with(&desk, &["usage"], &nobody, 4).await;
    assert!(error["message"].as_str().unwrap().starts_with("no credentials"), "{error}");
    let said = desk.run(&["push", "app.tar.gz", "--version", "1"]).await;
    for part in ["error: APP_NO_PERMISSION: ", "  request: ", "  next: "] {
        assert!(said.err.contains(part), "{part}: {said:?}");
    }
    // What is in the way of one is in the way of all, and they are not tried.
    for name in ["one.tar.gz", "two.tar.gz"] {
        std::fs::write(desk.path(name), package_of(name)).unwrap();
    }
    let several = desk.run(&["push", "one.tar.gz", "two.tar.gz", "--parallel", "1"]).await;
    assert_eq!(several.code, Some(4), "{several:?}");
    assert!(several.err.contains("one.tar.gz") && !several.err.contains("two.tar.gz"), "{several:?}");
    let secrets = desk.stack.gateway().credentials();
    assert!(!said.err.contains(&secrets.secret) && !said.err.contains(&secrets.ticket), "{said:?}");
}

#[tokio::test]
async fn each_kind_of_failure_has_its_exit_code() {
    let desk = Desk::new().await;
    let source = desk.stack.source();
    desk.json(&["push", "app.tar.gz", "--version", "1.0"]).await;
    std::fs::write(desk.path("text"), "no archive").unwrap();
    assert_eq!(desk.fail(&["push", "text", "--version", "2"], 1).await["code"], "PACKAGE_FORMAT_UNSUPPORTED");
    let field = desk.fail(&["push", "https://evil.example/a.tgz", "--version", "2"], 1).await;
    assert!(field["fields"]["package_url"][0].as_str().unwrap().contains("not in the allow-list"), "{field}");
    assert_eq!(desk.fail(&["push", "missing.tar.gz"], 2).await["kind"], "usage");
    assert_eq!(desk.fail(&["usage", "--gateway", "gateway.example.com"], 2).await["kind"], "usage");
    assert_eq!(desk.fail(&["show", "99"], 5).await["kind"], "not_found");
    assert_eq!(desk.fail(&["show", "--version", "none"], 5).await["kind"], "not_found");
    let unknown = "0198c3a4-5f00-7abc-8def-0123456789ab";
    for command in ["show", "watch", "cancel"] {
        assert_eq!(desk.fail(&["job", command, unknown], 5).await["kind"], "not_found", "{command}");
    }
    assert_eq!(desk.fail(&["push", "app.tar.gz", "--version", "1.0"], 6).await["code"], "PACKAGE_ALREADY_EXISTS");
    desk.json(&["push", "app.tar.gz", "--version", "1.0", "--overwrite"]).await;
    let refusing = desk.stack.link_to("/refusing.tar.gz", Behaviour::Status(404));
    assert_eq!(desk.fail(&["push", &refusing, "--version", "3"], 8).await["code"], "SOURCE_UNREACHABLE");
    let digest = "0".repeat(64);
    let error = desk.fail(&["push", &source.url(), "--version", "3", "--sha256", &digest], 10).await;
    assert_eq!(error["code"], "CHECKSUM_MISMATCH");
    let error = desk.fail(&["push", "app.tar.gz", "--version", "3", "--sha256", &digest], 10).await;
    assert_eq!(error["code"], "CHECKSUM_MISMATCH");
    assert_eq!(desk.fail(&["usage", "--gateway", desk.stack.store().base()], 4).await["kind"], "not_allowed");
}

#[tokio::test]
async fn a_gateway_that_is_down_and_a_store_that_is_down_are_told_apart() {
    let mut desk = Desk::new().await;
    let error = desk.fail(&["usage", "--gateway", "http://127.0.0.1:1/stag"], 9).await;
    assert_eq!(error["kind"], "unreachable");
    assert!(error["next"].as_str().unwrap().contains("--gateway"), "{error}");
    let said = desk.run(&["usage", "--gateway", "http://127.0.0.1:1/stag"]).await;
    assert!(said.err.contains("trying again in"), "whoever waits is told: {said:?}");
    desk.stack.kill_store();
    let error = desk.fail(&["usage"], 8).await;
    assert_eq!((&error["code"], &error["status"]), (&json!("BAD_GATEWAY"), &json!(502)));
}

#[tokio::test]
async fn a_secret_stands_on_no_command_line_and_no_file_for_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::new().await;
    let secret = &desk.stack.gateway().credentials().secret;
    let said = desk.run(&["usage", "--app-secret", secret]).await;
    assert_eq!(said.code, Some(2), "there is no such flag");
    std::fs::write(desk.path("config.toml"), format!("[profiles.a]\napp_secret = \"{secret}\"\n")).unwrap();
    let config = desk.path("config.toml");
    let arguments = ["usage", "--config", config.to_str().unwrap(), "--profile", "a"];
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = fail_with(&desk, &arguments, &[("LINKGATE_APP_SECRET", "")], 2).await;
    assert!(error["next"].as_str().unwrap().starts_with("chmod 600"), "{error}");
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = desk.command(&arguments);
    command.env_remove("LINKGATE_APP_SECRET");
    assert_eq!(finish(command).await.code, Some(0));
    let mut command = desk.command(&["usage"]);
    command.env_remove("LINKGATE_APP_SECRET").env("MINE", secret);
    command.env("LINKGATE_CREDENTIAL_COMMAND", "printf '{\"app_secret\": \"%s\"}' \"$MINE\"");
    assert_eq!(finish(command).await.code, Some(0));
    let error =
        fail_with(&desk, &["usage"], &[("LINKGATE_APP_SECRET", ""), ("LINKGATE_CREDENTIAL_COMMAND", "exit 7")], 4)
            .await;
    assert!(error["message"].as_str().unwrap().contains("credential command"), "{error}");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_is_sent() {
    let desk = Desk::new().await;
    std::fs::write(desk.path("other.tar.gz"), package_of("other")).unwrap();
    let link = desk.stack.source().url();
    for arguments in [
        &["push", "app.tar.gz", "other.tar.gz", "--version", "1"][..],
        &["push", "app.tar.gz", &link],
        &["push", "app.tar.gz", "--no-wait"],
        &["push", "app.tar.gz", "--wait-timeout", "1m"],
        &["push", &link, "--name", "a.tgz"],
        &["push", "a b.tgz"],
        &["verify", "app.tar.gz", "--key", "missing.pem"],
    ] {
        assert_eq!(desk.fail(arguments, 2).await["kind"], "usage", "{arguments:?}");
    }
    let both = ["push", &link, "--no-wait", "--wait-timeout", "1m"];
    for arguments in [&["push"][..], &both, &["show"], &["show", "1", "--version", "1"], &["pin", "1", "--name", "a b"]]
    {
        assert_eq!(desk.run(arguments).await.code, Some(2), "{arguments:?}");
    }
    assert!(desk.stack.directory().events().await.is_empty());
    assert_eq!(std::fs::read(desk.path("app.tar.gz")).unwrap(), package());
}

#[tokio::test]
async fn a_limit_whose_wait_is_too_long_is_told_with_its_wait() {
    let rate = json!({"per_second": 0.001, "burst": 1});
    let desk = Desk::under(|policy, _| policy["limits"]["requests_per_app"] = rate).await;
    desk.json(&["usage"]).await;
    let error = desk.fail(&["usage"], 7).await;
    assert_eq!((&error["code"], &error["status"]), (&json!("RATE_LIMIT_RESTRICTION"), &json!(429)));
    assert!(error["retry_after"].as_u64().is_some_and(|seconds| seconds > 60), "{error}");
}
