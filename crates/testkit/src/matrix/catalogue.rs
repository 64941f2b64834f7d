//! Every fault, with the document or the report that it is shaped after.

use highwater_core::ErrorKind::{
    AwaitingApproval, NotFound, RateLimited, Remote, SourceReset, Unauthorized, Unavailable,
};

use super::faults::{Drift, Duty, Fault, LinkForm, Poison, Switch, Wire};

const RFC9110: &str = "https://www.rfc-editor.org/rfc/rfc9110";
const REDIRECTS: &str = "https://www.rfc-editor.org/rfc/rfc9110#section-15.4";
const CODINGS: &str = "https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1";
const RETRY_AFTER: &str = "https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3";
const LINKS: &str = "https://www.rfc-editor.org/rfc/rfc8288#section-3";
const GITHUB_LIMITS: &str = "https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api";
const BEARER: &str = "https://www.rfc-editor.org/rfc/rfc6750#section-3";

const RELAYED: &[&str] = &["redirect", "405", "method"];
const UNREADABLE: &[&str] = &[
    "not json",
    "json",
    "cannot be read",
    "could be read",
    "xml",
    "expected",
    "broke off",
    "cut",
    "incomplete",
    "element",
];

/// In the order of `docs/trial-matrix.md`.
pub(super) const ALL: &[Fault] = &[
    Fault::new("capped-told", "the list ends early and says that it is incomplete", Switch::Capped { told: true })
        .source("https://developers.notion.com/reference/query-a-data-source")
        .names(&["incomplete"]),
    Fault::new("capped-silent", "the list ends early without saying so", Switch::Capped { told: false })
        .source("https://developers.hubspot.com/docs/api-reference/search/guide#limitations")
        .owes(Duty::Guard)
        .kinds(&[Remote, AwaitingApproval]),
    Fault::new("page-repeats", "every page repeats the previous one", Switch::Repeats)
        .source("https://github.com/airbytehq/airbyte/issues/28226")
        .names(&["no end", "repeat", "already", "same"]),
    Fault::new("cursors-ever-new", "the same records under a new cursor each time", Switch::EverNew)
        .source("https://github.com/airbytehq/airbyte/issues/28226")
        .names(&["no end", "repeat", "already", "same"]),
    Fault::new("empty-middle-page", "an empty page that names a next page", Switch::EmptyPage)
        .source("https://docs.slack.dev/apis/web-api/pagination"),
    Fault::new("duplicates", "each page repeats the last record of the previous one", Switch::Duplicates)
        .source("https://developers.hubspot.com/docs/api-reference/search/guide"),
    Fault::new("ties-in-time", "all records have the same time of change", Switch::Ties)
        .source("https://github.com/airbytehq/airbyte/issues/43317"),
    Fault::new("redirect-301", "301, within the origin", Switch::Redirect(301))
        .source(REDIRECTS)
        .names(RELAYED),
    Fault::new("redirect-302", "302, within the origin", Switch::Redirect(302))
        .source(REDIRECTS)
        .names(RELAYED),
    Fault::new("redirect-307", "307, within the origin", Switch::Redirect(307)).source(REDIRECTS),
    Fault::new("redirect-308", "308, method kept", Switch::Redirect(308)).source(REDIRECTS),
    Fault::new("redirect-loop", "a redirect to itself", Switch::RedirectLoop).source(REDIRECTS).names(&["redirect"]),
    Fault::new("redirect-nowhere", "302 without Location, with a list as body", Switch::RedirectNowhere(302))
        .source(REDIRECTS)
        .some(1)
        .names(&["redirect", "302", "location"]),
    Fault::new("redirect-choices", "300 with a list as body", Switch::RedirectNowhere(300))
        .source(REDIRECTS)
        .some(1)
        .names(&["redirect", "300", "location"]),
    Fault::new("redirect-away-302", "a redirect to another origin", Switch::RedirectAway(302))
        .source("https://curl.se/docs/CVE-2022-27774.html")
        .names(&["origin"]),
    Fault::new("redirect-away-307", "a redirect to another origin, method and body kept", Switch::RedirectAway(307))
        .source("https://curl.se/docs/CVE-2022-27774.html")
        .names(&["origin"]),
    Fault::new("gzip-odd-case", "Content-Encoding: GZip", Switch::Wire(Wire::Gzip("GZip"))).source(CODINGS),
    Fault::new("gzip-x", "Content-Encoding: x-gzip", Switch::Wire(Wire::Gzip("x-gzip"))).source(CODINGS),
    Fault::new("gzip-twice", "Content-Encoding: gzip, gzip", Switch::Wire(Wire::GzipTwice)).source(CODINGS),
    Fault::new("gzip-not", "Content-Encoding: gzip over a plain body", Switch::Wire(Wire::NoGzip))
        .source("https://github.com/axios/axios/issues/3055")
        .some(1)
        .names(&["gzip", "encoding", "coding", "decode"]),
    Fault::new("gzip-empty-200", "200 without a body under Content-Encoding: gzip", Switch::Wire(Wire::GzipEmpty(200)))
        .source("https://github.com/axios/axios/issues/3055")
        .some(1)
        .names(UNREADABLE),
    Fault::new("gzip-empty-204", "204 under Content-Encoding: gzip", Switch::Wire(Wire::GzipEmpty(204)))
        .source("https://github.com/axios/axios/issues/3055")
        .some(1)
        .owes(Duty::Guard)
        .kinds(&[Remote, AwaitingApproval]),
    Fault::new("gzip-empty-304", "a requested 304 under Content-Encoding: gzip", Switch::Wire(Wire::GzipEmpty(0)))
        .source("https://github.com/aio-libs/aiohttp/issues/609"),
    Fault::new("coding-unknown", "an unknown Content-Encoding", Switch::Wire(Wire::UnknownCoding))
        .source(CODINGS)
        .some(1)
        .names(&["encoding", "coding"]),
    Fault::new("byte-order-mark", "a UTF-8 byte-order mark before the body", Switch::Wire(Wire::Mark))
        .source("https://www.rfc-editor.org/rfc/rfc8259#section-8.1"),
    Fault::new("charset-utf16", "a body in UTF-16, declared", Switch::Wire(Wire::Utf16)).source(RFC9110),
    Fault::new("charset-latin1", "a body in ISO 8859-1, declared", Switch::Wire(Wire::Latin1)).source(RFC9110),
    Fault::new("body-cut", "the connection ends in the middle of a body", Switch::Wire(Wire::CutBody))
        .source("https://www.rfc-editor.org/rfc/rfc9112#section-8")
        .some(1)
        .kinds(&[Remote, Unavailable])
        .names(&["broke off", "cut", "incomplete", "ended"]),
    Fault::new("header-too-long", "a header line of 70 KiB", Switch::Wire(Wire::LongHeader))
        .source("https://www.rfc-editor.org/rfc/rfc9110#section-5.4")
        .some(1)
        .names(&["header"]),
    Fault::new("truncated", "half a body, with a Content-Length to match", Switch::Truncated)
        .source("https://www.rfc-editor.org/rfc/rfc9112#section-8")
        .some(1)
        .names(UNREADABLE),
    Fault::new("unasked-304", "304 to a request without a validator", Switch::Answer(304, &[], ""))
        .source("https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5")
        .some(1)
        .names(&["304", "not modified", "unchanged"]),
    Fault::new("clock-behind", "our clock is an hour behind the server's", Switch::Skew(-3600))
        .source("https://github.com/octokit/plugin-throttling.js/issues/599")
        .waits(3),
    Fault::new("clock-ahead", "our clock is an hour ahead of the server's", Switch::Skew(3600))
        .source("https://github.com/hub4j/github-api/issues/383")
        .waits(3),
    Fault::new("limit-429-seconds", "429 with Retry-After in seconds", Switch::Answer(429, &[("retry-after", "7")], "{}"))
        .source(RETRY_AFTER)
        .some(1)
        .waits(7),
    Fault::new("limit-429-date", "429 with Retry-After as a date", Switch::Answer(429, &[("retry-after", "{date+9}")], "{}"))
        .source(RETRY_AFTER)
        .some(1)
        .waits(8),
    Fault::new("limit-429-bare", "429 without Retry-After", Switch::Answer(429, &[], "{}")).source(RETRY_AFTER).some(2),
    Fault::new("limit-429-zero", "429 with Retry-After: 0 every time", Switch::Answer(429, &[("retry-after", "0")], "{}"))
        .source(RETRY_AFTER)
        .kinds(&[RateLimited])
        .names(&["slow down", "limit"]),
    Fault::new("limit-403-used-up", "403 with no requests left until a reset",
        Switch::Answer(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "{now+30}")], "{}"))
        .source(GITHUB_LIMITS)
        .some(1)
        .waits(29),
    Fault::new("limit-403-secondary", "403 of a secondary limit, with requests left and a reset in 50 minutes",
        Switch::Answer(403, &[("x-ratelimit-remaining", "4990"), ("x-ratelimit-reset", "{now+3000}")],
            r#"{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}"#))
        .source(GITHUB_LIMITS)
        .some(1)
        .waits(59),
    Fault::new("limit-503", "503 with Retry-After", Switch::Answer(503, &[("retry-after", "5")], "{}"))
        .source(RETRY_AFTER)
        .some(1)
        .waits(5),
    Fault::new("limit-500", "500 with Retry-After", Switch::Answer(500, &[("retry-after", "20")], "{}"))
        .source(RETRY_AFTER)
        .some(1)
        .waits(20),
    Fault::new("limit-in-body", "a rate limit in a body, in the API's own format", Switch::LimitTold)
        .source("https://docs.slack.dev/apis/web-api/rate-limits")
        .some(1),
    Fault::new("retry-408", "408 with Retry-After", Switch::Answer(408, &[("retry-after", "2")], "{}"))
        .source("https://www.rfc-editor.org/rfc/rfc9110#section-15.5.9")
        .some(1)
        .waits(2),
    Fault::new("retry-409", "409 with Retry-After", Switch::Answer(409, &[("retry-after", "2")], "{}"))
        .source("https://developers.notion.com/reference/status-codes")
        .some(1)
        .waits(2),
    Fault::new("retry-423", "423 with Retry-After", Switch::Answer(423, &[("retry-after", "2")], "{}"))
        .source("https://developers.hubspot.com/docs/api-reference/error-handling")
        .some(1)
        .waits(2),
    Fault::new("retry-425", "425 with Retry-After", Switch::Answer(425, &[("retry-after", "2")], "{}"))
        .source("https://www.rfc-editor.org/rfc/rfc8470#section-5.2")
        .some(1)
        .waits(2),
    Fault::new("poison-id-null", "a record whose id is null", Switch::Poison(Poison::IdNull))
        .source("https://github.com/airbytehq/airbyte/issues/30752")
        .owes(Duty::SetAside),
    Fault::new("poison-id-missing", "a record without an id", Switch::Poison(Poison::IdMissing))
        .source("https://docs.stripe.com/api/events/types#event_types-invoice.upcoming")
        .owes(Duty::SetAside),
    Fault::new("poison-surrogate", "a record with half a surrogate pair in a string", Switch::Poison(Poison::Surrogate))
        .source("https://www.rfc-editor.org/rfc/rfc8259#section-8.2")
        .owes(Duty::SetAside),
    Fault::new("poison-not-an-object", "a record that is a string", Switch::Poison(Poison::NotAnObject))
        .source("https://github.com/airbytehq/airbyte/issues/30752")
        .owes(Duty::SetAside),
    Fault::new("poison-time", "a record with a time in an unknown format", Switch::Poison(Poison::Time))
        .source("https://github.com/airbytehq/airbyte/issues/43317")
        .owes(Duty::SetAside),
    Fault::new("link-path", "the next page's link is an absolute path", Switch::Links(LinkForm::Path)).source(LINKS),
    Fault::new("link-query", "the next page's link is only a query", Switch::Links(LinkForm::Query)).source(LINKS),
    Fault::new("link-segment", "the next page's link is a relative path", Switch::Links(LinkForm::Segment)).source(LINKS),
    Fault::new("link-quoted", "Link parameters in quotes with < > , ;", Switch::Links(LinkForm::Quoted)).source(LINKS),
    Fault::new("drift-id-vanishes", "records have no id any more", Switch::Drift(Drift::IdVanishes))
        .owes(Duty::SetAside)
        .source("https://docs.stripe.com/upgrades")
        .names(&["id"]),
    Fault::new("drift-id-type", "ids become objects", Switch::Drift(Drift::IdChangesType))
        .source("https://docs.stripe.com/upgrades")
        .names(&["id"]),
    Fault::new("drift-time-vanishes", "records have no time of change any more", Switch::Drift(Drift::TimeVanishes))
        .source("https://developers.notion.com/reference/changes-by-version")
        .names(&["time", "update", "modif", "edited", "ts", "member"]),
    Fault::new("drift-list-vanishes", "the list is renamed", Switch::Drift(Drift::ListVanishes))
        .source("https://developers.notion.com/reference/changes-by-version")
        .names(&["list", "expected", "array", "could be read", "no object"]),
    Fault::new("drift-list-type", "the list becomes an object", Switch::Drift(Drift::ListChangesType))
        .source("https://developers.notion.com/reference/changes-by-version")
        .names(&["list", "expected", "array", "could be read", "no object"]),
    Fault::new("200-error", "200 with an error as its body",
        Switch::Answer(200, &[("content-type", "application/json")], r#"{"error":{"code":500,"message":"trial internal fault"}}"#))
        .source("https://docs.slack.dev/apis/web-api/using-the-slack-web-api")
        .some(1)
        .names(&["trial internal fault", "expected", "array", "refuses", "could be read"]),
    Fault::new("200-html", "200 with an HTML page",
        Switch::Answer(200, &[("content-type", "text/html")], "<html><body>We are working on it</body></html>"))
        .source("https://github.com/stacklok/toolhive/issues/4513")
        .some(1)
        .names(&["html", "json", "multistatus", "sync token", "list"]),
    Fault::new("200-maintenance", "200 with a string in place of the list", Switch::ListIsText)
        .source("https://github.com/airbytehq/airbyte/issues/28226")
        .some(1)
        .names(&["array", "list", "maintenance", "no object", "primary key"]),
    Fault::new("200-empty-object", "200 with {}", Switch::Answer(200, &[("content-type", "application/json")], "{}"))
        .source(RFC9110)
        .some(1)
        .names(&["expected", "array", "sync token", "list", "xml", "json", "member", "could be read"]),
    Fault::new("200-no-body", "200 with nothing", Switch::Answer(200, &[], ""))
        .source(RFC9110)
        .some(1)
        .names(&["json", "sync token", "xml", "empty", "expected", "list"]),
    Fault::new("200-partial-errors", "200 with a page and errors beside it", Switch::PartialErrors)
        .source("https://spec.graphql.org/October2021/#sec-Errors")
        .some(1)
        .names(&["trial partial fault"]),
    Fault::new("token-ends-401", "401 once, in the middle of a run",
        Switch::Answer(401, &[("www-authenticate", "Bearer error=\"invalid_token\"")], r#"{"message":"token expired"}"#))
        .source(BEARER)
        .some(1)
        .kinds(&[Unauthorized])
        .names(&["token", "401"]),
    Fault::new("token-ends-403", "an expired token, reported by 403 with WWW-Authenticate",
        Switch::Answer(403, &[("www-authenticate", "Bearer error=\"invalid_token\", error_description=\"expired\"")], "{}"))
        .source(BEARER)
        .some(1)
        .kinds(&[Unauthorized])
        .names(&["token", "403"]),
    Fault::new("token-ends-told", "an expired token, reported in the API's own format", Switch::TokenEndTold)
        .source("https://docs.slack.dev/authentication/using-token-rotation")
        .some(1)
        .kinds(&[Unauthorized])
        .names(&["token"]),
    Fault::new("scope-missing", "403: the token lacks a scope",
        Switch::Answer(403, &[("content-type", "application/json")], r#"{"message":"missing scope trial:read","error":{"message":"missing scope trial:read"}}"#))
        .source(BEARER)
        .kinds(&[Unauthorized])
        .names(&["missing scope trial:read"]),
    Fault::new("echoed-token", "400 that repeats the token", Switch::EchoSecret)
        .source(BEARER)
        .some(1)
        .names(&["400"]),
    Fault::new("server-burst", "500, 500, 500, then normal answers", Switch::Answer(500, &[], "oops")).source(RFC9110).some(3),
    Fault::new("server-down", "502 every time", Switch::Answer(502, &[], "<html>Bad Gateway</html>"))
        .source(RFC9110)
        .names(&["502", "failing"]),
    Fault::new("lost-once", "the answer is lost after the effect", Switch::Lost).source(RFC9110).some(1),
    Fault::new("lost-for-ever", "no answer, ever", Switch::Lost)
        .source(RFC9110)
        .kinds(&[Unavailable])
        .names(&["answer", "reached"]),
    Fault::new("gone-410", "410: gone", Switch::Answer(410, &[("content-type", "application/json")], r#"{"message":"gone for good"}"#))
        .source("https://www.rfc-editor.org/rfc/rfc9110#section-15.5.11")
        .some(1)
        .kinds(&[SourceReset, Remote, NotFound])
        .names(&["gone", "410", "forgot", "switched off"]),
    Fault::new("sound-but-206", "206 with a complete list", Switch::Restatus(206)).source(RFC9110).some(1),
];
