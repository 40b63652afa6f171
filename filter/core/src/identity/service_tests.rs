use super::*;

fn read(question: &Question, status: u16, body: &str) -> Result<Answer, String> {
    question.read(Some(ServiceReply { status, body: body.as_bytes() }), 1_000)
}

#[test]
fn words_of_a_service_are_bounded_and_never_the_secret() {
    let token = Secret::new("t0p");
    let said =
        |text: &str| read(&Question::Token(token.clone()), 200, &json!({"result": false, "message": text}).to_string());
    let refused = |text: String| Ok(Answer::Refused(Reason(text.into())));
    assert_eq!(said("a \"b\"\u{7}c"), refused("a 'b' c".into()));
    assert_eq!(said(&"x".repeat(1_000)), refused("x".repeat(MAX_WORDS)));
    assert_eq!(said("your token t0p is old"), Ok(Answer::Refused(Reason::BAD_TOKEN)));
    assert_eq!(said(" "), Ok(Answer::Refused(Reason::BAD_TOKEN)));
}

#[test]
fn names_that_could_break_a_line_are_no_answer() {
    let login = Question::Token(Secret::new("t"));
    for name in [json!("a\nb"), json!(""), json!(7), json!(null), json!("x".repeat(129))] {
        let body = json!({"result": true, "data": {"bk_username": name}}).to_string();
        assert!(read(&login, 200, &body).is_err(), "{body}");
    }
    let token = Question::AccessToken(Secret::new("t"));
    let body = json!({"code": 0, "data": {"bk_app_code": "a b\r", "identity": {"username": ""}, "expires_in": 1}});
    assert!(read(&token, 200, &body.to_string()).is_err());
}

#[test]
fn an_access_token_may_name_no_user() {
    let token = Question::AccessToken(Secret::new("t"));
    for identity in [json!({"username": ""}), json!({"username": null}), json!({}), json!(null)] {
        let body = json!({"code": 0, "data": {"bk_app_code": "ci", "identity": identity, "expires_in": 5}});
        let facts = TokenFacts { app_code: "ci".into(), username: String::new(), expires_at: 1_005 };
        assert_eq!(read(&token, 200, &body.to_string()), Ok(Answer::Token(facts)));
    }
}

#[test]
fn what_is_not_an_answer_is_a_failure() {
    let keys = Question::AppKeys { app_code: "ci".into() };
    let ticket = Question::Ticket(Secret::new("t"));
    assert!(read(&keys, 200, r#"{"code":0,"data":{"bk_app_secret":"s"}}"#).is_err());
    assert!(read(&ticket, 200, r#"{"ret":"0","data":{"username":"anna"}}"#).is_err());
    assert!(read(&ticket, 302, "").is_err() && read(&ticket, 200, r#"{"ret":0,"data""#).is_err());
    assert_eq!(read(&keys, 200, r#"{"code":0,"data":[]}"#), Ok(Answer::Refused(Reason::APP_NOT_FOUND)));
    assert_eq!(read(&keys, 404, "<html>"), Ok(Answer::Refused(Reason::APP_NOT_FOUND)));
}

#[test]
fn nothing_secret_is_shown() {
    let question = Question::AppSecret { app_code: "ci".into(), secret: Secret::new("t0p") };
    assert!(!format!("{question:?}").contains("t0p"));
    assert!(!format!("{:?}", OwnCredentials::new("a".into(), "t0p".into(), "t0p".into())).contains("t0p"));
}
