use super::*;

#[test]
fn dates_in_their_three_forms() {
    for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
        let response = HttpResponse::new(200, vec![("Date".to_owned(), date.to_owned())], "");
        assert_eq!(response.date().map(Timestamp::unix_ms), Some(784_111_777_000), "{date}");
    }
}

#[test]
fn elements_share_the_body() {
    let response = HttpResponse::new(200, Vec::new(), r#"{"data":{"items":[{"a":1}, 2]}}"#);
    assert_eq!(response.elements_at("/data/items").unwrap(), [r#"{"a":1}"#, "2"]);
    assert_eq!(response.elements().unwrap_err().kind(), ErrorKind::Remote);
    assert_eq!(response.elements_at("/data/none").unwrap_err().context("pointer"), Some("/data/none"));
    assert_eq!(response.text_at("/data/items/0/a").unwrap().as_deref(), Some("1"));
    assert_eq!(response.value_at("/data/items/0").unwrap().unwrap(), r#"{"a":1}"#);
    assert_eq!(response.record().unwrap(), response.body);
    let cut = HttpResponse::new(200, Vec::new(), r#"{"data":{"items":["#);
    assert_eq!(cut.text_at("/next").unwrap_err().kind(), ErrorKind::Remote);
    assert_eq!(cut.value_at("/errors").unwrap_err().kind(), ErrorKind::Remote);
    for body in [&cut.body[..], b"", b"[]", b"null", b"{} {}"] {
        let response = HttpResponse::new(200, Vec::new(), body.to_vec());
        assert_eq!(response.record().unwrap_err().kind(), ErrorKind::Remote);
    }
}
