use super::*;
use crate::time::Time;

fn read_pairs(pairs: &[(&[u8], &[u8])]) -> Result<Option<PresentedCredentials>, Reason> {
    PresentedCredentials::from_header(&Head::new(pairs, false, Time::default(), || [0; 16]))
}

fn read(value: &str) -> Result<PresentedCredentials, Reason> {
    read_pairs(&[(b"x-bkapi-authorization", value.as_bytes())]).map(Option::unwrap)
}

fn revealed(secret: Option<&Secret>) -> Option<&str> {
    secret.map(Secret::reveal)
}

#[test]
fn the_header_of_the_api_document_is_read() {
    let c = read(r#"{"bk_app_code": "apigw-api-test", "bk_app_secret": "s", "bk_ticket": "t"}"#).unwrap();
    assert_eq!((c.app_code.as_str(), c.app_secret.reveal()), ("apigw-api-test", "s"));
    assert_eq!(revealed(c.bk_ticket.as_ref()), Some("t"));
    assert!(!format!("{c:?}").contains("\"s\""));
}

#[test]
fn every_refusal_has_the_reason_that_callers_know() {
    let cases = [
        ("", Reason::NO_APP_CODE),
        ("  ", Reason::NO_APP_CODE),
        ("nonsense", Reason::NOT_JSON),
        ("{", Reason::NOT_JSON),
        ("\"text\"", Reason::NOT_JSON),
        ("7", Reason::NOT_JSON),
        ("null", Reason::NOT_JSON),
        (&format!(r#"{{"bk_token":"{}"}}"#, "t".repeat(MAX_LOGIN + 1)), Reason::TOO_LONG),
    ];
    for (value, reason) in cases {
        assert_eq!(read(value).err(), Some(reason), "{value}");
    }
    assert!(read_pairs(&[]).unwrap().is_none());
    let name = &b"x-bkapi-authorization"[..];
    assert_eq!(read_pairs(&[(name, b"{}"), (name, b"{}")]).err(), Some(Reason::REPEATED));
    assert_eq!(read_pairs(&[(name, b"{\"a\":\"\xff\"}")]).err(), Some(Reason::NOT_JSON));
    assert_eq!(read(&"[".repeat(100_000)).err(), Some(Reason::NOT_JSON));
}

#[test]
fn an_app_code_is_checked_before_its_secret() {
    let check = |code: &str, secret: &str| {
        let c = read(&format!(r#"{{"bk_app_code":"{code}","bk_app_secret":"{secret}"}}"#)).unwrap();
        c.check_app_code().and_then(|()| c.check_form()).err()
    };
    assert_eq!(check("a", "s"), None);
    assert_eq!(check("", "s"), Some(Reason::NO_APP_CODE));
    assert_eq!(check(&"a".repeat(32), &"s".repeat(128)), None);
    assert_eq!(check(&"a".repeat(33), &"s".repeat(129)), Some(Reason::APP_CODE_TOO_LONG));
    assert_eq!(check("a", &"s".repeat(129)), Some(Reason::APP_SECRET_TOO_LONG));
    for code in ["a b", "a/b", "a%2fb", "a?b", "<a>", "é", "..\\\\"] {
        assert_eq!(check(code, "s"), Some(Reason::APP_CODE_INVALID), "{code}");
    }
}

#[test]
fn aliases_and_numbers_are_taken() {
    let code = |text: &str| read(text).unwrap().app_code;
    assert_eq!(code(r#"{"app_code": 7}"#), "7");
    assert_eq!(code(r#"{"bk_app_code": "a", "app_code": "b"}"#), "a");
    for empty in [r#"{"bk_app_code":"","app_code":"a"}"#, r#"{"bk_app_code":null,"app_code":"a"}"#, "[]", "{}"] {
        assert_eq!(code(empty), "");
    }
    assert_eq!(read(r#"{"app_secret": 12}"#).unwrap().app_secret.reveal(), "12");
}

#[test]
fn the_strongest_kind_decides() {
    let kind = |text: &str| read(text).unwrap().kind();
    assert_eq!(kind(r#"{"jwt":"j","access_token":"a","inner_jwt":"i"}"#), CredentialKind::Jwt);
    assert_eq!(kind(r#"{"jwt":7,"access_token":"a","inner_jwt":"i"}"#), CredentialKind::AccessToken);
    assert_eq!(kind(r#"{"inner_jwt":"i","bk_token":"t"}"#), CredentialKind::InnerJwt);
    assert_eq!(kind(r#"{"jwt":["j"],"access_token":"","inner_jwt":null,"bk_token":"t"}"#), CredentialKind::Plain);
}

#[test]
fn a_token_stands_in_the_header_or_else_in_a_cookie() {
    let with = |value: &str, cookies: &[&[u8]]| {
        let mut pairs: Vec<(&[u8], &[u8])> = vec![(b"x-bkapi-authorization", value.as_bytes())];
        pairs.extend(cookies.iter().map(|cookie| (&b"cookie"[..], *cookie)));
        read_pairs(&pairs).unwrap().unwrap()
    };
    let c = with("{}", &[b"a=b; bk_token=x%2By+z", b"bk_ticket=\"k\"; bk_ticket=other"]);
    assert_eq!(revealed(c.bk_token.as_ref()), Some("x+y+z"));
    assert_eq!(revealed(c.bk_ticket.as_ref()), Some("k"));
    let c = with(r#"{"bk_token":"t"}"#, &[b"bk_token=c; access_token=c"]);
    assert_eq!(revealed(c.bk_token.as_ref()), Some("t"));
    let c = with(r#"{"bk_ticket":"k"}"#, &[b"bk_token=c"]);
    assert!(c.bk_token.is_none(), "a cookie does not go before what the caller shows");
    assert!(c.access_token.is_none(), "only tokens and tickets stand in cookies");
    let c = with("{}", &[b"bk_token=\xff", b"bk_token", b"xbk_token=1; bk_token="]);
    assert!(c.bk_token.is_none());
}

#[test]
fn a_form_gives_the_first_of_each_name() {
    let fields = fields_of_form(decode_form(b"bk_app_code=a%20b&bk_app_code=c&x=&%ff=1"));
    assert_eq!(fields.get("bk_app_code"), Some(&Field::Text("a b".into())));
    assert_eq!(fields.get("x"), Some(&Field::Text("".into())));
}

#[test]
fn control_characters_are_refused_wherever_they_stand() {
    let names = ["bk_app_secret", "app_secret", "jwt", "access_token", "inner_jwt", "bk_token", "bk_ticket"];
    for (name, bad) in
        names.iter().flat_map(|name| ["\0", "a\nb", "\r", "\u{7f}", "a\u{85}", "\t"].map(|bad| (name, bad)))
    {
        let fields =
            decode_form(&form_urlencoded::Serializer::new(String::new()).append_pair(name, bad).finish().into_bytes());
        let read = PresentedCredentials::from_fields(&fields_of_form(fields), &Cookies::default());
        assert_eq!(read.unwrap_err(), Reason::CONTROL_CHARACTERS, "{name} {bad:?}");
    }
}

#[test]
fn a_cookie_with_a_control_character_is_refused() {
    let pairs: [(&[u8], &[u8]); 2] = [(b"x-bkapi-authorization", b"{}"), (b"cookie", b"bk_token=a%00b")];
    let head = Head::new(&pairs, true, crate::time::Time::default(), || [1; 16]);
    assert_eq!(PresentedCredentials::from_header(&head).unwrap_err(), Reason::CONTROL_CHARACTERS);
}
