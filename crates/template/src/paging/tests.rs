use super::*;

fn pages(paging: Paging) -> Pages {
    Pages::new(HttpRequest::get("/list").query("limit", "3"), paging)
}

/// Lets `pages` read answers made of its own requests; returns the ids in the order they came.
fn drive(pages: &mut Pages, mut server: impl FnMut(&HttpRequest) -> HttpResponse) -> Result<Vec<u64>> {
    let mut ids = Vec::new();
    while !pages.ended {
        let request = pages.page_request()?;
        pages.check_progress(&request)?;
        if let Some(page) = pages.read(server(&request))? {
            ids.extend(
                page.records.iter().map(|record| text_at(record, "/id").unwrap().unwrap().parse::<u64>().unwrap()),
            );
        }
    }
    Ok(ids)
}

fn list(ids: &[u64]) -> String {
    format!("[{}]", ids.iter().map(|id| format!(r#"{{"id":{id}}}"#)).collect::<Vec<_>>().join(","))
}

fn asked(request: &HttpRequest, name: &str) -> Option<String> {
    request.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

#[test]
fn cursors_in_query_and_body() {
    let mut pages = pages(Paging::cursor("/next", "after")).records_at("/items");
    let ids = drive(&mut pages, |request| {
        let body = match asked(request, "after").as_deref() {
            None => format!(r#"{{"items":{},"next":"x"}}"#, list(&[1, 2])),
            Some("x") => format!(r#"{{"items":{},"next":7}}"#, list(&[3])),
            Some("7") => format!(r#"{{"items":{},"next":""}}"#, list(&[4])),
            other => panic!("{other:?}"),
        };
        assert_eq!(asked(request, "limit").as_deref(), Some("3"));
        HttpResponse::new(200, Vec::new(), body)
    });
    assert_eq!(ids.unwrap(), [1, 2, 3, 4]);

    let request = HttpRequest::post_json("/graphql", &serde_json::json!({"query": "q"})).unwrap();
    let mut pages = Pages::new(request, Paging::relay("/data/issues")).records_at("/data/issues/nodes");
    let mut bodies = Vec::new();
    let ids = drive(&mut pages, |request| {
        bodies.push(String::from_utf8(request.body.clone().unwrap().to_vec()).unwrap());
        let more = bodies.len() < 2;
        let body = format!(
            r#"{{"data":{{"issues":{{"nodes":{},"pageInfo":{{"hasNextPage":{more},"endCursor":"c{}"}}}}}}}}"#,
            list(&[bodies.len() as u64]),
            bodies.len()
        );
        HttpResponse::new(200, Vec::new(), body)
    });
    assert_eq!(ids.unwrap(), [1, 2]);
    assert_eq!(bodies, [r#"{"query":"q"}"#, r#"{"query":"q","variables":{"after":"c1"}}"#]);
}

#[test]
fn a_form_keeps_its_other_fields() {
    let mut request = HttpRequest::new("POST", "/list").form([("limit", "200"), ("cursor", "old")]);
    name_page(&mut request, &RequestField::Form("cursor".to_owned()), "a=b&c").unwrap();
    assert_eq!(request.body.unwrap(), "limit=200&cursor=a%3Db%26c");
}

#[test]
fn last_ids_numbers_and_urls() {
    let mut by_id = pages(Paging::last_id("starting_after", "/has_more")).records_at("/data");
    let ids = drive(&mut by_id, |request| {
        let after: u64 = asked(request, "starting_after").map_or(0, |text| text.parse().unwrap());
        let body = format!(r#"{{"data":{},"has_more":{}}}"#, list(&[after + 1, after + 2]), after < 4);
        HttpResponse::new(200, Vec::new(), body)
    });
    assert_eq!(ids.unwrap(), [1, 2, 3, 4, 5, 6]);
    let ids = drive(&mut pages(Paging::number("page", 1)), |request| {
        let page: u64 = asked(request, "page").unwrap().parse().unwrap();
        HttpResponse::new(200, Vec::new(), list(if page < 3 { &[7] } else { &[] }))
    });
    assert_eq!(ids.unwrap(), [7, 7]);
    let mut by_url = pages(Paging::HeaderUrl("Next-Page".to_owned()));
    let ids = drive(&mut by_url, |request| {
        let first = request.url == "/list";
        assert_eq!(request.query.is_empty(), !first, "a URL has its query");
        let headers = if first { vec![("next-page".to_owned(), "/list?x=2".to_owned())] } else { Vec::new() };
        HttpResponse::new(200, headers, list(&[1]))
    });
    assert_eq!(ids.unwrap(), [1, 1]);
}

#[test]
fn a_list_without_end_is_an_error() {
    let body = || HttpResponse::new(200, Vec::new(), format!(r#"{{"items":{},"next":"same"}}"#, list(&[1])));
    let mut circling = pages(Paging::cursor("/next", "after")).records_at("/items");
    let error = drive(&mut circling, |_| body()).unwrap_err();
    assert_eq!((error.kind(), error.context("pages")), (ErrorKind::Remote, Some("2")));
    let mut count = 0;
    let mut endless = pages(Paging::cursor("/next", "after")).records_at("/items").max_pages(50);
    let error = drive(&mut endless, |_| {
        count += 1;
        HttpResponse::new(200, Vec::new(), format!(r#"{{"items":[],"next":"{count}"}}"#))
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Remote);
    assert_eq!(count, 50);
}

#[test]
fn a_list_that_repeats_its_pages_is_an_error() {
    // The last page forever, by number, by ever new cursors, by ever new links.
    let last = |count: u64| list(&[count.min(3), 9]);
    for paging in [Paging::number("page", 1), Paging::cursor("/next", "after"), Paging::BodyUrl("/next".to_owned())] {
        let mut count = 0;
        let mut endless = pages(paging).records_at("/items");
        let error = drive(&mut endless, |_| {
            count += 1;
            let body = format!(r#"{{"items":{},"next":"/list?page={count}"}}"#, last(count));
            HttpResponse::new(200, Vec::new(), body)
        })
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Remote);
        assert!(error.to_string().contains("no end"), "{error}");
        assert!(count < 12, "{count} pages");
    }
    // A page that comes twice, and empty ones in the middle, end nothing.
    let mut count = 0;
    let mut whole = pages(Paging::cursor("/next", "after")).records_at("/items");
    let ids = drive(&mut whole, |_| {
        count += 1;
        let items = if count % 3 == 0 { String::from("[]") } else { list(&[count / 2]) };
        let next = if count < 90 { format!(r#""c{count}""#) } else { "null".to_owned() };
        HttpResponse::new(200, Vec::new(), format!(r#"{{"items":{items},"next":{next}}}"#))
    });
    assert_eq!(ids.unwrap().len(), 60);
}

#[test]
fn no_content_is_an_empty_list_and_no_page_that_was_named() {
    let none = || HttpResponse::new(204, Vec::new(), "");
    for paging in [Paging::Link, Paging::cursor("/next", "after"), Paging::number("page", 1), Paging::offset("offset")]
    {
        let ids = drive(&mut pages(paging.clone()), |_| none());
        assert_eq!(ids.unwrap(), [] as [u64; 0], "{paging:?}");
    }
    for (paging, kind) in [(Paging::Link, Some(ErrorKind::Remote)), (Paging::number("page", 1), None)] {
        let mut count = 0;
        let read = drive(&mut pages(paging), |_| {
            count += 1;
            let link = vec![("link".to_owned(), "</list?page=2>; rel=next".to_owned())];
            if count == 1 { HttpResponse::new(200, link, list(&[1])) } else { none() }
        });
        // A page that we count on to by ourselves is the end; one that the API named is not.
        assert_eq!(read.err().map(|error| error.kind()), kind);
    }
}

#[test]
fn only_the_first_page_is_asked_for_conditionally() {
    let known = crate::http::Validator { etag: Some("\"v1\"".to_owned()), last_modified: None };
    let request = HttpRequest::get("/list").if_changed_since(&known);
    let mut pages = Pages::new(request, Paging::number("page", 1));
    let mut conditional = Vec::new();
    let ids = drive(&mut pages, |request| {
        conditional.push(request.is_conditional());
        HttpResponse::new(200, Vec::new(), list(if conditional.len() < 3 { &[7] } else { &[] }))
    });
    assert_eq!((ids.unwrap(), conditional), (vec![7, 7], vec![true, false, false]));
}

/// Reads a list by offset while rows are deleted and added between pages.
fn drifting(paging: Paging, mut change: impl FnMut(usize, &mut Vec<u64>)) -> (Vec<u64>, Vec<u64>) {
    let mut rows: Vec<u64> = (1..=20).collect();
    let mut page = 0;
    let mut list_pages = pages(paging);
    let ids = drive(&mut list_pages, |request| {
        change(page, &mut rows);
        page += 1;
        let offset = asked(request, "offset").unwrap().parse::<usize>().unwrap().min(rows.len());
        // The server has a page size of its own, whatever was asked for.
        HttpResponse::new(200, Vec::new(), list(&rows[offset..(offset + 4).min(rows.len())]))
    });
    (ids.unwrap(), rows)
}

#[test]
fn h42_offsets_skip_nothing_when_rows_are_deleted_between_pages() {
    for at in 1..6 {
        for deleted in [1, 3, 4] {
            let (seen, rows) = drifting(Paging::offset("offset"), |page, rows| {
                if page == at {
                    rows.drain(..deleted);
                }
            });
            assert!(rows.iter().all(|row| seen.contains(row)), "page {at}, {deleted} deleted: {seen:?}");
        }
    }
    let (seen, rows) = drifting(Paging::offset("offset"), |page, rows| {
        if page == 2 {
            rows.insert(0, 100);
        }
    });
    assert!(rows[1..].iter().all(|row| seen.contains(row)));
    // Without the overlap the same list loses rows: the test can fail.
    let bare = Paging::Offset { to: "offset".into(), overlap: 0 };
    let (seen, rows) = drifting(bare, |page, rows| {
        if page == 2 {
            rows.drain(..3);
        }
    });
    assert!(rows.iter().any(|row| !seen.contains(row)));
}
