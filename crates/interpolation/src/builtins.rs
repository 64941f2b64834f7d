//! The names that the language has built in. The parser refuses others; `runtime` gives them their meaning.

const FUNCTIONS: [&str; 16] = [
    "now_utc",
    "today_utc",
    "today_with_timezone",
    "timestamp",
    "max",
    "min",
    "day_delta",
    "duration",
    "format_datetime",
    "str_to_datetime",
    "sanitize_url",
    "camel_case_to_snake_case",
    "generate_uuid",
    "json_loads",
    "dict",
    "namespace",
];

pub(crate) fn is_function(name: &str) -> bool {
    FUNCTIONS.contains(&name)
}

/// Filters of lists and mappings.
pub(crate) const LISTS: [&str; 24] = [
    "join",
    "first",
    "last",
    "list",
    "map",
    "select",
    "reject",
    "selectattr",
    "rejectattr",
    "sort",
    "unique",
    "reverse",
    "min",
    "max",
    "sum",
    "batch",
    "slice",
    "groupby",
    "dictsort",
    "items",
    "random",
    "attr",
    "length",
    "count",
];
/// Filters of numbers.
pub(crate) const NUMBERS: [&str; 5] = ["int", "float", "abs", "round", "filesizeformat"];
/// Filters of texts.
pub(crate) const TEXTS: [&str; 20] = [
    "lower",
    "upper",
    "capitalize",
    "title",
    "trim",
    "replace",
    "truncate",
    "wordcount",
    "center",
    "indent",
    "format",
    "urlencode",
    "e",
    "escape",
    "forceescape",
    "safe",
    "pprint",
    "default",
    "d",
    "tojson",
];
/// Filters of the language's own, which Jinja does not have.
pub(crate) const LANGUAGE: [&str; 8] = [
    "hash",
    "base64encode",
    "base64decode",
    "base64binascii_decode",
    "string",
    "regex_search",
    "regex_replace",
    "hmac",
];

pub(crate) fn is_filter(name: &str) -> bool {
    LISTS.contains(&name) || NUMBERS.contains(&name) || TEXTS.contains(&name) || LANGUAGE.contains(&name)
}

const TESTS: [&str; 36] = [
    "odd",
    "even",
    "divisibleby",
    "defined",
    "undefined",
    "filter",
    "test",
    "none",
    "boolean",
    "false",
    "true",
    "integer",
    "float",
    "lower",
    "upper",
    "string",
    "mapping",
    "number",
    "sequence",
    "iterable",
    "callable",
    "sameas",
    "escaped",
    "in",
    "eq",
    "equalto",
    "ne",
    "gt",
    "greaterthan",
    "ge",
    "lt",
    "lessthan",
    "le",
    "==",
    "!=",
    ">",
];

pub(crate) fn is_test(name: &str) -> bool {
    TESTS.contains(&name) || matches!(name, ">=" | "<" | "<=")
}

/// Names that are methods of every mapping, and hide its keys in dotted access.
pub(crate) const DICT_METHODS: [&str; 11] =
    ["get", "keys", "values", "items", "copy", "update", "clear", "pop", "popitem", "setdefault", "fromkeys"];
