use super::*;

fn read(question: &Question, status: u16, body: &str) -> Result<Answer, Failure> {
    question.read_reply(Some(ServiceReply { status, body: body.as_bytes() }), 1_000)
}

#[test]
fn words_of_a_service_are_bounded_and_never_the_secret() {
    let token = Secret::new("t0p");
    let said =
        |text: &str| read(&Question::Token(token.clone()), 200, &json!({"result": false, "message": text}).to_string());
    let refused = |text: String| Ok(Answer::Refused(Reason(text.into())));
    assert_eq!(said("a \"b\"\u{7}c"), refused("a 'b' c".into()));
    assert_eq!(said(&"x".repeat(1_000)), refused("x".repeat(MAX_QUOTED_CHARS)));
    assert_eq!(said("your token t0p is old"), Ok(Answer::Refused(Reason::BAD_TOKEN)));
    assert_eq!(said(" "), Ok(Answer::Refused(Reason::BAD_TOKEN)));
    let quoted = Question::Token(Secret::new("t'0p"));
    let body = json!({"result": false, "message": "no such token t\"0p"}).to_string();
    assert_eq!(read(&quoted, 200, &body), Ok(Answer::Refused(Reason::BAD_TOKEN)), "made by replacing a mark");
}

#[test]
fn a_result_that_is_neither_yes_nor_no_is_no_answer() {
    let login = Question::Token(Secret::new("t"));
    let said =
        |result: Value| read(&login, 200, &json!({"result": result, "data": {"bk_username": "anna"}}).to_string());
    assert_eq!(said(json!(true)), Ok(Answer::User(User { name: "anna".into(), tenant: None })));
    assert_eq!(said(json!(false)), Ok(Answer::Refused(Reason::BAD_TOKEN)));
    for neither in [json!("false"), json!("true"), json!(0), json!(1), json!(null), json!([])] {
        assert!(said(neither.clone()).is_err(), "{neither}");
    }
}

#[test]
fn names_that_could_break_a_line_are_no_answer() {
    let login = Question::Token(Secret::new("t"));
    for name in [json!("a\nb"), json!(""), json!(7), json!(null), json!(" "), json!("x".repeat(257))] {
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
    assert_eq!(read(&keys, 404, r#"{"code":1901404,"data":null}"#), Ok(Answer::Refused(Reason::APP_NOT_FOUND)));
}

#[test]
fn a_failure_says_whether_the_service_is_to_blame() {
    let (keys, token) = (Question::AppKeys { app_code: "ci".into() }, Question::Token(Secret::new("t")));
    let kind = |question: &Question, status, body| read(question, status, body).unwrap_err().kind;
    assert_eq!(question_without_reply().kind, FailureKind::Down);
    for (status, body) in [(502, "<html>"), (503, ""), (504, "{}")] {
        assert_eq!((kind(&keys, status, body), kind(&token, status, body)), (FailureKind::Down, FailureKind::Down));
    }
    for (status, body) in [(500, "{}"), (501, ""), (505, ""), (302, ""), (200, "<html>"), (200, "{}"), (404, "<html>")]
    {
        assert_eq!(kind(&keys, status, body), FailureKind::Unclear, "{status} {body}");
    }
    for (status, body) in [(400, "<html>"), (401, r#"{"code":1}"#), (403, ""), (414, ""), (429, "{}"), (404, "{}")] {
        assert_eq!(kind(&keys, status, body), FailureKind::Refused, "{status} {body}");
    }
    assert_eq!(keys.overload_failure().kind, FailureKind::Refused);
}

fn question_without_reply() -> Failure {
    Question::Token(Secret::new("t")).read_reply(None, 0).unwrap_err()
}

#[test]
fn a_disabled_or_empty_secret_signs_nothing() {
    let keys = Question::AppKeys { app_code: "ci".into() };
    let key = |secret: &str, enabled: Value| json!({"bk_app_secret": secret, "enabled": enabled});
    let list =
        json!([key("off", json!(false)), key("", json!(true)), key("on", json!(true)), {"bk_app_secret": "old"}]);
    let answer = read(&keys, 200, &json!({"code": 0, "data": list}).to_string());
    assert_eq!(answer, Ok(Answer::Keys([Secret::new("on"), Secret::new("old")].into())));
    let none = json!({"code": 0, "data": [key("off", json!(false))]}).to_string();
    assert_eq!(read(&keys, 200, &none), Ok(Answer::Refused(Reason::APP_NOT_FOUND)));
}

#[test]
fn nothing_secret_is_printed() {
    let question = Question::AppSecret { app_code: "ci".into(), secret: Secret::new("t0p") };
    assert!(!format!("{question:?}").contains("t0p"));
    assert!(!format!("{:?}", OwnCredentials::new("a".into(), "t0p".into(), "t0p".into())).contains("t0p"));
}
