//! Requests that are wrong in one place each, made from the OpenAPI document.

use serde_json::{Value, json};

/// A text that is longer than any parameter may be, and shorter than an address or the headers.
const LONG: usize = 9000;

/// A request, with everything but the key.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Option<Vec<u8>>,
}

/// A request that is to be refused.
pub(crate) struct Case {
    pub(crate) kind: &'static str,
    /// The parameter, and its value.
    pub(crate) what: String,
    pub(crate) request: Request,
    /// The code is one of these, if there are any.
    pub(crate) codes: &'static [&'static str],
}

/// A method of a path, with what the document says of it.
pub(crate) struct Operation {
    pub(crate) method: String,
    pub(crate) path: String,
    about: Value,
    components: Value,
}

pub(crate) fn operations(document: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, about) in methods.as_object().unwrap() {
            found.push(Operation {
                method: method.to_ascii_uppercase(),
                path: path.clone(),
                about: about.clone(),
                components: document["components"].clone(),
            });
        }
    }
    found
}

const QUERY: &[&str] = &["invalid_query_params"];
const PATH: &[&str] = &["invalid_uri_params", "not_found"];
const BODY: &[&str] = &["invalid_body"];

impl Operation {
    /// Requests to a provider are passed on as they are, but for a few headers.
    fn is_foreign(&self) -> bool {
        self.path.starts_with("/proxy")
    }

    pub(crate) fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for parameter in self.about["parameters"].as_array().into_iter().flatten() {
            match parameter["in"].as_str().unwrap() {
                "query" => self.wrong_query(parameter, &mut cases),
                "header" => self.wrong_header(parameter, &mut cases),
                _ => self.wrong_path(parameter, &mut cases),
            }
        }
        if !self.is_foreign() {
            cases.push(self.query("unknown", &[("no_such_parameter", "1")]));
            for broken in ["%", "a=%ff", "a=%zz"] {
                let request = self.request(Some(broken), self.body());
                cases.push(Case { kind: "wrong type", what: broken.to_owned(), request, codes: QUERY });
            }
        }
        self.wrong_bodies(&mut cases);
        cases
    }

    fn query(&self, kind: &'static str, pairs: &[(&str, &str)]) -> Case {
        let written = |(name, value): &(&str, &str)| format!("{name}={value}");
        let query = pairs.iter().map(written).collect::<Vec<_>>().join("&");
        let what = query.chars().take(60).collect();
        // These look at the token, or for the run, before they read their parameters.
        let late = kind != "unknown"
            && (self.path.ends_with("/{name}/ack")
                || self.path.ends_with("/{name}/nack")
                || self.path.ends_with("/{name}/renew")
                || self.path == "/runs/{id}/lines");
        let codes = if late { &["invalid_query_params", "invalid_body", "not_found"] } else { QUERY };
        Case { kind, what, request: self.request(Some(&query), self.body()), codes }
    }

    fn wrong_query(&self, parameter: &Value, cases: &mut Vec<Case>) {
        let name = parameter["name"].as_str().unwrap();
        let schema = self.resolved(&parameter["schema"]);
        if parameter["style"] == "deepObject" {
            let name = format!("{name}[key]");
            cases.push(self.query("too long", &[(&name, &"x".repeat(LONG))]));
            return;
        }
        let of = |value: &str| (name.to_owned(), value.to_owned());
        let mut wrong = vec![("empty", vec![of("")]), ("too long", vec![of(&"x".repeat(LONG))])];
        if schema["type"] != "array" {
            let sound = sound(parameter, &schema);
            wrong.push(("twice", vec![of(&sound), of(&sound)]));
        }
        wrong.extend(wrong_texts(&schema).into_iter().map(|value| ("wrong type", vec![of(&value)])));
        for (kind, pairs) in wrong {
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            cases.push(self.query(kind, &pairs));
        }
        if parameter["required"] == true {
            let mut case = self.query("missing", &[]);
            name.clone_into(&mut case.what);
            cases.push(case);
        }
    }

    fn wrong_header(&self, parameter: &Value, cases: &mut Vec<Case>) {
        let name = parameter["name"].as_str().unwrap();
        let schema = self.resolved(&parameter["schema"]);
        let mut add = |kind, values: Vec<Vec<u8>>| {
            let mut request = self.request(self.sound_query().as_deref(), self.body());
            request.headers.retain(|(known, _)| known != name);
            let what = format!(
                "{name}: {:?}",
                values.first().map(|value| String::from_utf8_lossy(&value[..value.len().min(40)]))
            );
            request.headers.extend(values.into_iter().map(|value| (name.to_owned(), value)));
            // Some read their body first, or know the thing first that the path names.
            cases.push(Case { kind, what, request, codes: &[] });
        };
        let value = sound(parameter, &schema).into_bytes();
        add("twice", vec![value.clone(), value]);
        add("wrong type", vec![b"\xff\xfe".to_vec()]);
        add("too long", vec![b"x".repeat(LONG)]);
        // Clients send an empty one to say that there is none.
        if !matches!(name, "Base-Url-Override" | "Last-Event-ID") {
            add("empty", vec![Vec::new()]);
        }
        if parameter["required"] == true {
            add("missing", Vec::new());
        }
        for text in wrong_texts(&schema) {
            add("wrong type", vec![text.into_bytes()]);
        }
    }

    fn wrong_path(&self, parameter: &Value, cases: &mut Vec<Case>) {
        let name = parameter["name"].as_str().unwrap();
        if self.is_foreign() {
            return;
        }
        for (kind, value) in [
            ("too long", "x".repeat(LONG)),
            ("wrong type", "%ff".to_owned()),
            ("wrong type", "%00".to_owned()),
            ("wrong type", "a%0Ab".to_owned()),
            ("wrong type", "..%2F..%2Fetc".to_owned()),
            ("unknown", "nobody-has-this-name".to_owned()),
            ("empty", String::new()),
        ] {
            let mut request = self.request(self.sound_query().as_deref(), self.body());
            let (before, behind) = self.path.split_once(&format!("{{{name}}}")).unwrap();
            let whole = format!("{}{value}{}", filled(before), filled(behind));
            request.path = self.sound_query().map_or(whole.clone(), |query| format!("{whole}?{query}"));
            // A name that nothing has yet may be taken, and without its last part a path may be that of another route.
            let makes = self.path.starts_with("/consumers") || self.path.ends_with("/variant/{variant}");
            if (makes && kind == "unknown") || kind == "empty" || (makes && value.contains("etc")) {
                continue;
            }
            let codes = if matches!(kind, "too long" | "wrong type") && !value.contains("etc") { PATH } else { &[] };
            let what = format!("{name}: {}", value.chars().take(40).collect::<String>());
            // Some read their body or their headers before the path.
            let codes = if request.body.is_some() { &[][..] } else { codes };
            cases.push(Case { kind, what, request, codes });
        }
    }

    fn wrong_bodies(&self, cases: &mut Vec<Case>) {
        let content = &self.about["requestBody"]["content"]["application/json"];
        let Some(schema) = content.get("schema") else { return };
        let (schema, example) = (self.resolved(schema), content["example"].clone());
        let query = self.sound_query();
        let mut add = |kind, what: String, body: Vec<u8>, codes: &'static [&'static str]| {
            let request = self.request(query.as_deref(), Some(body));
            cases.push(Case { kind, what: what.chars().take(60).collect(), request, codes });
        };
        let text = example.to_string().into_bytes();
        add("missing", "body".to_owned(), Vec::new(), BODY);
        for cut in [1, text.len() / 2, text.len() - 1] {
            add("cut off", format!("at {cut}"), text[..cut].to_vec(), BODY);
        }
        add("cut off", "and more".to_owned(), [&text[..], b"]"].concat(), BODY);
        add("deep", "arrays".to_owned(), [b"[".repeat(20_000), b"]".repeat(20_000)].concat(), BODY);
        let deep = [br#"{"a":"#.repeat(5000), b"1".to_vec(), b"}".repeat(5000)].concat();
        add("deep", "objects".to_owned(), deep, BODY);
        add("huge", "body".to_owned(), vec![b' '; 100 << 10], &["body_too_large"]);
        for wrong in
            ["null", "1", "\"text\"", "[]", "[null, null]", "[[]]", "true", "NaN", "\u{feff}{}", "{\"a\":\"\\ud800\"}"]
        {
            add("wrong type", wrong.to_owned(), wrong.as_bytes().to_vec(), BODY);
        }
        add("wrong type", "bytes".to_owned(), b"{\"\xff\":1}".to_vec(), BODY);
        let members = example.as_object().cloned().unwrap_or_default();
        let with = |name: &str, value: &Value| {
            let mut members = members.clone();
            members.insert(name.to_owned(), value.clone());
            Value::Object(members).to_string().into_bytes()
        };
        if schema["additionalProperties"] == false {
            add("unknown", "no_such_member".to_owned(), with("no_such_member", &json!(1)), BODY);
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let mut less = members.clone();
            less.remove(name);
            add("missing", name.to_owned(), Value::Object(less).to_string().into_bytes(), BODY);
        }
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let schema = self.resolved(schema);
            for (kind, value) in wrong_values(&schema) {
                add(kind, format!("{name}: {value}"), with(name, &value), &[]);
            }
            if let Some(value) = members.get(name) {
                let mut twice = Value::Object(members.clone()).to_string();
                twice.insert_str(1, &format!("{}:{value},", json!(name)));
                add("twice", name.clone(), twice.into_bytes(), BODY);
            }
        }
        for kind in
            ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense"]
        {
            let mut request = self.request(query.as_deref(), Some(text.clone()));
            request.headers.retain(|(name, _)| name != "Content-Type");
            if !kind.is_empty() {
                request.headers.push(("Content-Type".to_owned(), kind.as_bytes().to_vec()));
            }
            cases.push(Case { kind: "other type", what: kind.to_owned(), request, codes: &["invalid_content_type"] });
        }
    }

    /// Bodies that have an array where the schema has an object, everywhere but at the top. Values of an array are those of the members
    /// in any order, of which one would be taken for the object.
    pub(crate) fn arrays_for_objects(&self) -> Vec<Request> {
        let Some(schema) = self.about["requestBody"]["content"]["application/json"].get("schema") else {
            return Vec::new();
        };
        let members = self.resolved(schema)["properties"].as_object().cloned().unwrap_or_default();
        let example = self.about["requestBody"]["content"]["application/json"]["example"].clone();
        let mut requests = Vec::new();
        for (name, schema) in &members {
            for wrong in self.with_an_array(schema) {
                let mut body = example.as_object().cloned().unwrap_or_default();
                body.insert(name.clone(), wrong);
                let body = Value::Object(body).to_string().into_bytes();
                requests.push(self.request(self.sound_query().as_deref(), Some(body)));
            }
        }
        requests
    }

    /// Values of a schema in each of which one object is an array.
    fn with_an_array(&self, schema: &Value) -> Vec<Value> {
        let schema = self.resolved(schema);
        if let Some(ways) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
            return ways.iter().flat_map(|way| self.with_an_array(way)).collect();
        }
        if schema["type"] == "array" {
            return self.with_an_array(&schema["items"]).into_iter().map(|wrong| json!([wrong])).collect();
        }
        if schema["type"] != "object" {
            return Vec::new();
        }
        let mut members = schema["properties"].as_object().cloned().unwrap_or_default();
        if schema["additionalProperties"].is_object() {
            members.insert("demo-crm".to_owned(), schema["additionalProperties"].clone());
        }
        let samples: Vec<Value> = members.values().map(|member| self.sample(member)).collect();
        let mut wrong = vec![json!([]), Value::Array(vec![Value::Null; members.len()])];
        wrong.extend(orders(&samples).into_iter().map(Value::Array));
        for (name, member) in &members {
            for inner in self.with_an_array(member) {
                let mut object = self.sample(&schema);
                object[name] = inner;
                wrong.push(object);
            }
        }
        wrong
    }

    /// A value that a schema accepts.
    fn sample(&self, schema: &Value) -> Value {
        let schema = self.resolved(schema);
        let first = |ways: &Value| ways.get(0).cloned();
        if let Some(way) = first(&schema["anyOf"]).or_else(|| first(&schema["oneOf"])) {
            return self.sample(&way);
        }
        if let Some(value) = schema.get("const").cloned().or_else(|| first(&schema["enum"])) {
            return value;
        }
        match schema["type"].as_str() {
            Some("object") => {
                let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
                required.map(|name| (name.to_owned(), self.sample(&schema["properties"][name]))).collect()
            }
            Some("array") => json!([self.sample(&schema["items"])]),
            Some("integer") => json!(1),
            Some("boolean") => json!(true),
            Some("string") if schema["format"] == "date-time" => json!("2026-11-30T12:00:00Z"),
            Some("string") => json!("ann@example.com"),
            _ => Value::Null,
        }
    }

    /// A schema itself: what a reference leads to, and without the null that it may have instead.
    fn resolved(&self, schema: &Value) -> Value {
        let schema = match schema["anyOf"].as_array().map(Vec::as_slice) {
            Some([schema, null]) if null["type"] == "null" => schema,
            _ => schema,
        };
        match schema["$ref"].as_str() {
            Some(name) => self.components["schemas"][name.rsplit('/').next().unwrap()].clone(),
            None => schema.clone(),
        }
    }

    /// The request as it should be, as far as the document's examples say.
    fn request(&self, query: Option<&str>, body: Option<Vec<u8>>) -> Request {
        let path = filled(&self.path);
        let path = query.map_or(path.clone(), |query| format!("{path}?{query}"));
        let mut headers = Vec::new();
        for parameter in self.about["parameters"].as_array().into_iter().flatten() {
            if parameter["in"] == "header" && parameter["required"] == true {
                let name = parameter["name"].as_str().unwrap();
                headers.push((name.to_owned(), sound(parameter, &self.resolved(&parameter["schema"])).into_bytes()));
            }
        }
        if body.is_some() {
            headers.push(("Content-Type".to_owned(), b"application/json".to_vec()));
        }
        Request { method: self.method.clone(), path, headers, body }
    }

    fn body(&self) -> Option<Vec<u8>> {
        let content = &self.about["requestBody"]["content"]["application/json"];
        content.get("example").map(|example| example.to_string().into_bytes())
    }

    /// The parameters that must be given.
    fn sound_query(&self) -> Option<String> {
        let parameters = self.about["parameters"].as_array()?;
        let needed = parameters.iter().filter(|one| one["in"] == "query" && one["required"] == true);
        let pairs: Vec<String> = needed
            .map(|one| format!("{}={}", one["name"].as_str().unwrap(), sound(one, &self.resolved(&one["schema"]))))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("&"))
    }
}

/// All orders of at most four values, or one of more.
fn orders(values: &[Value]) -> Vec<Vec<Value>> {
    if values.is_empty() || values.len() > 4 {
        return vec![values.to_vec()];
    }
    let with_first = |first: usize| {
        let others: Vec<Value> =
            values.iter().enumerate().filter(|(n, _)| *n != first).map(|(_, v)| v.clone()).collect();
        orders(&others).into_iter().map(move |rest| [&values[first..=first], &rest].concat()).collect::<Vec<_>>()
    };
    (0..values.len()).flat_map(with_first).collect()
}

/// A path with names of things that there are, where the tests' API has them.
fn filled(path: &str) -> String {
    [("{connection}", "main"), ("{key}", "crm"), ("{provider}", "crm"), ("{variant}", "v"), ("{path}", "echo")]
        .iter()
        .fold(path.to_owned(), |path, (name, value)| path.replace(name, value))
        .split('/')
        .map(|part| if part.starts_with('{') { "contacts" } else { part })
        .collect::<Vec<_>>()
        .join("/")
}

/// A value that a parameter takes.
fn sound(parameter: &Value, schema: &Value) -> String {
    match parameter["name"].as_str().unwrap() {
        "Connection-Id" => return "main".to_owned(),
        "Provider-Config-Key" => return "crm".to_owned(),
        _ => {}
    }
    let example = parameter.get("example").or_else(|| schema["enum"].get(0));
    match (example, schema["type"].as_str()) {
        (Some(Value::String(text)), _) => text.clone(),
        (Some(other), _) => other.to_string(),
        (None, Some("integer")) => "1".to_owned(),
        (None, Some("boolean")) => "true".to_owned(),
        (None, _) if schema["format"] == "date-time" => "2026-11-30T12:00:00Z".to_owned(),
        _ => "x".to_owned(),
    }
}

/// Texts that a parameter does not take.
fn wrong_texts(schema: &Value) -> Vec<String> {
    let texts: &[&str] = match schema["type"].as_str() {
        Some("integer") => &["x", "-1", "1.5", "1e3", "0x10", "99999999999999999999", "+1", "%201"],
        Some("boolean") => &["maybe", "2"],
        _ if schema["format"] == "date-time" => &["yesterday", "2026-13-01T00:00:00Z", "2026-11-30", "12"],
        _ if schema["enum"].is_array() => &["no-such-word", "%20"],
        _ => &[],
    };
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Values that a member of a body does not take.
fn wrong_values(schema: &Value) -> Vec<(&'static str, Value)> {
    let most = schema["maxLength"].as_u64().unwrap_or(0) as usize;
    let mut values = match schema["type"].as_str() {
        Some("string") => vec![("wrong type", json!(1)), ("wrong type", json!({})), ("wrong type", json!([]))],
        Some("integer") => {
            let mut values = vec![("wrong type", json!("x")), ("wrong type", json!(1.5)), ("wrong type", json!([1]))];
            for (bound, beyond) in [("minimum", -1), ("maximum", 1)] {
                values.extend(schema[bound].as_i64().map(|bound| ("wrong type", json!(bound + beyond))));
            }
            values.extend([("wrong type", json!(-1)), ("too long", json!(1e300))]);
            values
        }
        Some("boolean") => vec![("wrong type", json!("true")), ("wrong type", json!(1))],
        Some("array") => vec![("wrong type", json!("x")), ("wrong type", json!({ "a": 1 }))],
        Some("object") => vec![("wrong type", json!("x")), ("wrong type", json!(1)), ("wrong type", json!([1]))],
        _ => Vec::new(),
    };
    if schema["type"] == "string" && schema["minLength"].as_u64().unwrap_or(0) > 0 {
        values.push(("empty", json!("")));
    }
    if schema["type"] == "string" && (1..20_000).contains(&most) {
        values.push(("too long", json!("x".repeat(most + 1))));
        values.push(("wrong type", json!("a\u{0}b")));
    }
    if schema["enum"].is_array() {
        values.push(("wrong type", json!("no-such-word")));
    }
    if let Some(most) = schema["maxItems"].as_u64() {
        values.push(("too long", Value::Array(vec![json!("x"); most as usize + 1])));
    }
    values
}
