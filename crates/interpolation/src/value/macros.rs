//! The macro `json!`.

/// A [`Value`](crate::Value) written as JSON, as `serde_json::json!` does it.
///
/// A name is a literal, a variable, or an expression in parentheses; a value is JSON, or any expression that a `Value`
/// can be made from, which is copied.
///
/// ```
/// use highwater_interpolation::json;
///
/// let page = 3;
/// let value = json!({"page": page, "filter": {"open": true, "labels": ["a", null]}, (format!("x{page}")): page + 1});
/// assert_eq!(value.to_string(), r#"{"page":3,"filter":{"open":true,"labels":["a",null]},"x3":4}"#);
/// ```
#[macro_export]
macro_rules! json {
    (@items [$($done:expr,)*]) => { ::std::vec::Vec::<$crate::Value>::from([$($done,)*]) };
    (@items [$($done:expr,)*] null $(, $($rest:tt)*)?) => {
        $crate::json!(@items [$($done,)* $crate::json!(null),] $($($rest)*)?)
    };
    (@items [$($done:expr,)*] [$($item:tt)*] $(, $($rest:tt)*)?) => {
        $crate::json!(@items [$($done,)* $crate::json!([$($item)*]),] $($($rest)*)?)
    };
    (@items [$($done:expr,)*] {$($member:tt)*} $(, $($rest:tt)*)?) => {
        $crate::json!(@items [$($done,)* $crate::json!({$($member)*}),] $($($rest)*)?)
    };
    (@items [$($done:expr,)*] $item:expr $(, $($rest:tt)*)?) => {
        $crate::json!(@items [$($done,)* $crate::json!($item),] $($($rest)*)?)
    };
    (@members [$($done:expr,)*]) => { $crate::Map::from_iter([$($done,)*]) };
    (@members [$($done:expr,)*] $name:tt : null $(, $($rest:tt)*)?) => {
        $crate::json!(@members [$($done,)* (::std::string::String::from($name), $crate::json!(null)),] $($($rest)*)?)
    };
    (@members [$($done:expr,)*] $name:tt : [$($item:tt)*] $(, $($rest:tt)*)?) => {
        $crate::json!(@members [$($done,)* (::std::string::String::from($name), $crate::json!([$($item)*])),] $($($rest)*)?)
    };
    (@members [$($done:expr,)*] $name:tt : {$($member:tt)*} $(, $($rest:tt)*)?) => {
        $crate::json!(@members [$($done,)* (::std::string::String::from($name), $crate::json!({$($member)*})),] $($($rest)*)?)
    };
    (@members [$($done:expr,)*] $name:tt : $value:expr $(, $($rest:tt)*)?) => {
        $crate::json!(@members [$($done,)* (::std::string::String::from($name), $crate::json!($value)),] $($($rest)*)?)
    };
    (null) => { $crate::Value::Null };
    ([$($item:tt)*]) => { $crate::Value::Array($crate::json!(@items [] $($item)*)) };
    ({$($member:tt)*}) => { $crate::Value::Object($crate::json!(@members [] $($member)*)) };
    ($value:expr) => { $crate::Value::from(&$value) };
}
