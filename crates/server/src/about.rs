//! What a route is for, what it takes and what it answers, written down beside the route: the source of `/openapi.json`.

pub(crate) mod forms;
pub(crate) mod links;
pub(crate) mod schema;

use serde_json::Value;

/// A parameter of a query, a header or a path.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) schema: Value,
    pub(crate) about: &'static str,
    pub(crate) example: Option<Value>,
}

/// Makes a parameter that may be left out.
pub(crate) fn param(name: &'static str, schema: Value, about: &'static str) -> Parameter {
    Parameter { name, required: false, schema, about, example: None }
}

impl Parameter {
    /// Makes it one that must be given.
    pub(crate) fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Gives a value that works with the demo.
    pub(crate) fn example(mut self, example: impl Into<Value>) -> Self {
        self.example = Some(example.into());
        self
    }
}

/// The two headers that name a connection.
pub(crate) fn connection_headers() -> [Parameter; 2] {
    [
        param("Connection-Id", schema::name(200), "The connection.").required().example("demo"),
        param(
            "Provider-Config-Key",
            schema::name(200),
            "The connection's integration, or its provider where it has none.",
        )
        .required()
        .example("demo-crm"),
    ]
}

/// An answer that is no error.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) about: &'static str,
    pub(crate) content: Option<(&'static str, Value)>,
    pub(crate) example: Option<Value>,
}

/// What a route is for, what it takes and what it answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    pub(crate) summary: &'static str,
    pub(crate) headers: Vec<Parameter>,
    pub(crate) body: Option<(Value, Value)>,
    pub(crate) raw_body: bool,
    pub(crate) answers: Vec<Answered>,
    pub(crate) errors: Vec<(u16, &'static str)>,
    pub(crate) foreign_answers: bool,
}

impl About {
    /// Begins a description with a sentence that says what the route does.
    pub(crate) fn new(summary: &'static str) -> Self {
        About { summary, ..About::default() }
    }

    /// Adds headers.
    pub(crate) fn headers(mut self, headers: impl IntoIterator<Item = Parameter>) -> Self {
        self.headers.extend(headers);
        self
    }

    /// The route is about the connection that the two headers name.
    pub(crate) fn of_connection(self) -> Self {
        self.headers(connection_headers()).error(400, "unknown_connection")
    }

    /// Describes the body, which is JSON, with an example.
    pub(crate) fn body(mut self, schema: Value, example: Value) -> Self {
        self.body = Some((schema, example));
        self
    }

    /// The body may be anything, or nothing.
    pub(crate) fn any_body(mut self) -> Self {
        self.raw_body = true;
        self
    }

    /// Adds an answer in JSON.
    pub(crate) fn answer(mut self, status: u16, about: &'static str, schema: Value) -> Self {
        self.answers.push(Answered { status, about, content: Some(("application/json", schema)), example: None });
        self
    }

    /// Gives an example of the last answer.
    pub(crate) fn like(mut self, example: Value) -> Self {
        if let Some(last) = self.answers.last_mut() {
            last.example = Some(example);
        }
        self
    }

    /// Adds an answer of another type, which is a text.
    pub(crate) fn answer_as(mut self, status: u16, about: &'static str, kind: &'static str) -> Self {
        let content = Some((kind, schema::text()));
        self.answers.push(Answered { status, about, content, example: None });
        self
    }

    /// Adds the answer `{"success": true}`.
    pub(crate) fn success(self, about: &'static str) -> Self {
        self.answer(200, about, schema::reference("Success")).like(serde_json::json!({ "success": true }))
    }

    /// Adds an error that not every route has.
    pub(crate) fn error(mut self, status: u16, code: &'static str) -> Self {
        self.errors.push((status, code));
        self
    }

    /// The route passes on the answers of another server: any status and any content.
    pub(crate) fn foreign_answers(mut self) -> Self {
        self.foreign_answers = true;
        self
    }
}
