//! Record selectors: extraction, filtering and transformation of the records in a response.

use std::sync::Arc;

use highwater_core::Result;

use super::decode::{Context, Node};
use super::encoding::Encoding;
use super::{Condition, Parameters, SimpleRetriever, Template};
use crate::registry::CustomExtractor;

#[derive(Debug)]
pub(crate) enum Decoder {
    Json,
    JsonLines,
    /// The items of a list within the body.
    JsonItems(String),
    Csv {
        delimiter: u8,
        none: Vec<String>,
    },
    Xml,
    /// Each line a record with one field.
    Lines,
    Gzip(Box<Decoder>),
    Zip(Box<Decoder>),
    /// Text that is not UTF-8.
    Recoded(Encoding, Box<Decoder>),
}

#[derive(Debug)]
pub(crate) struct Selector {
    pub path: String,
    pub extractor: Extractor,
    pub filter: Option<Condition>,
    pub transform_first: Option<bool>,
    pub normalize: bool,
}

#[derive(Debug)]
pub(crate) enum Extractor {
    Path {
        path: Vec<Template>,
        expander: Option<Expander>,
    },
    Combined {
        extractors: Vec<Extractor>,
        first_match: bool,
        skip_empty: bool,
    },
    /// A file of comma-separated values, whatever the decoder.
    Table {
        keep_missing: bool,
    },
    Custom(Arc<dyn CustomExtractor>),
}

/// Records out of a list within a record.
#[derive(Debug)]
pub(crate) struct Expander {
    pub path: Vec<Template>,
    pub keep_original: bool,
    pub emit_parent: bool,
    pub merge_parent: bool,
    pub parent_fields: Vec<(Vec<Template>, Vec<Template>)>,
    pub truncation_path: Vec<Template>,
    pub retriever: Option<Box<SimpleRetriever>>,
}

impl Decoder {
    pub(crate) fn of(node: &Node<'_>, context: &Context<'_>, name: &str) -> Result<Self> {
        node.get(name).map_or(Ok(Decoder::Json), |node| Decoder::decode(&node, context, 0))
    }

    fn decode(node: &Node<'_>, context: &Context<'_>, depth: usize) -> Result<Self> {
        let inner = || -> Result<Box<Decoder>> {
            let inner = node.get("decoder").or_else(|| node.get("parser"));
            let inner = inner.ok_or_else(|| node.invalid("`decoder` is missing: say what is inside"))?;
            if depth > 8 {
                return Err(node.invalid("decoders are nested more than 8 deep"));
            }
            Decoder::decode(&inner, context, depth + 1).map(Box::new)
        };
        Ok(match node.kind()? {
            "JsonDecoder" | "JsonParser" => Decoder::Json,
            "JsonlDecoder" | "JsonLineParser" => Decoder::JsonLines,
            "JsonItemsDecoder" => {
                let path = node.require("items_path", "say where the items are")?.text()?;
                recoded(node, Decoder::JsonItems(path))?
            }
            "CsvDecoder" | "CsvParser" => {
                let delimiter = node.get("delimiter").map_or(Ok(",".to_owned()), |text| text.text())?;
                let delimiter = match delimiter.as_str() {
                    "\\t" | "\t" => b'\t',
                    text => match text.as_bytes() {
                        [byte] => *byte,
                        _ => return Err(node.invalid("`delimiter` must be one character")),
                    },
                };
                recoded(node, Decoder::Csv { delimiter, none: node.texts("set_values_to_none")? })?
            }
            "XmlDecoder" => Decoder::Xml,
            "IterableDecoder" => Decoder::Lines,
            "GzipDecoder" | "GzipParser" | "GzipJsonDecoder" => {
                match node.get("decoder").or_else(|| node.get("parser")) {
                    Some(_) => Decoder::Gzip(inner()?),
                    None => Decoder::Gzip(Box::new(Decoder::Json)),
                }
            }
            "ZipfileDecoder" => Decoder::Zip(inner()?),
            "CompositeRawDecoder" => *inner()?,
            other => match context.registry.component_of(node.value)? {
                Some(replacement) => Decoder::decode(&Node::at(&replacement, &node.path), context, depth + 1)?,
                None => {
                    let known = [
                        "JsonDecoder",
                        "JsonlDecoder",
                        "JsonItemsDecoder",
                        "CsvDecoder",
                        "XmlDecoder",
                        "IterableDecoder",
                        "GzipDecoder",
                        "ZipfileDecoder",
                    ];
                    return Err(node.unknown(other, &known));
                }
            },
        })
    }
}

/// A decoder of text in the encoding that the manifest names.
fn recoded(node: &Node<'_>, decoder: Decoder) -> Result<Decoder> {
    Ok(match Encoding::of(node)? {
        Some(encoding) => Decoder::Recoded(encoding, Box::new(decoder)),
        None => decoder,
    })
}

impl Selector {
    pub(crate) fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        match node.kind()? {
            "RecordSelector" => {}
            other => return Err(node.unknown(other, &["RecordSelector"])),
        }
        let extractor = node.require("extractor", "say where the records are")?;
        let filter = match node.get("record_filter") {
            None => None,
            Some(filter) => match filter.kind()? {
                "RecordFilter" => filter.condition(context, "condition")?,
                other => match context.registry.component_of(filter.value)? {
                    Some(replacement) => Node::at(&replacement, &filter.path).condition(context, "condition")?,
                    None => return Err(filter.unknown(other, &["RecordFilter"])),
                },
            },
        };
        let normalize = match node.get("schema_normalization") {
            None => false,
            Some(kind) if kind.value.is_object() => return Err(kind.unknown(kind.kind()?, &["Default", "None"])),
            Some(kind) => kind.text()? == "Default",
        };
        Ok(Selector {
            path: node.path.clone(),
            extractor: Extractor::decode(&extractor, context)?,
            filter,
            transform_first: node.boolean("transform_before_filtering")?,
            normalize,
        })
    }

    pub(crate) fn of(extractor: Extractor) -> Self {
        Selector { path: String::new(), extractor, filter: None, transform_first: None, normalize: false }
    }
}

impl Extractor {
    /// The whole body is the record, or the list of them.
    pub(crate) fn whole() -> Self {
        Extractor::Path { path: Vec::new(), expander: None }
    }

    pub(crate) fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        match node.kind()? {
            "DpathExtractor" => Ok(Extractor::Path {
                path: {
                    node.require("field_path", "say where the records are; [] for the whole body")?;
                    node.templates(context, "field_path")?
                },
                expander: node.get("record_expander").map(|node| Expander::decode(&node, context)).transpose()?,
            }),
            "CombinedExtractor" => {
                let extractors = node.require("extractors", "list the extractors")?.items()?;
                let mode = node.get("mode").map(|mode| mode.text()).transpose()?;
                Ok(Extractor::Combined {
                    extractors: extractors
                        .iter()
                        .map(|node| Extractor::decode(node, context))
                        .collect::<Result<_>>()?,
                    first_match: mode.as_deref() == Some("first_match"),
                    skip_empty: node.boolean("skip_empty_records")?.unwrap_or(false),
                })
            }
            "ResponseToFileExtractor" => {
                Ok(Extractor::Table { keep_missing: node.boolean("preserve_na_values")?.unwrap_or(false) })
            }
            other => {
                if let Some(custom) = context.registry.extractor_of(node.value) {
                    return Ok(Extractor::Custom(custom));
                }
                match context.registry.component_of(node.value)? {
                    Some(replacement) => Extractor::decode(&Node::at(&replacement, &node.path), context),
                    None => {
                        Err(node.unknown(other, &["DpathExtractor", "CombinedExtractor", "ResponseToFileExtractor"]))
                    }
                }
            }
        }
    }

    /// The path, where it is plain and nothing comes after it.
    pub(crate) fn plain_path(&self) -> Option<&[Template]> {
        match self {
            Extractor::Path { path, expander: None } => Some(path),
            _ => None,
        }
    }
}

impl Expander {
    fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let parameters: Parameters = node.parameters();
        let path = |node: &Node<'_>, name: &str| -> Result<Vec<Template>> {
            node.list(name)?.iter().map(|part| part.template(context, &parameters)).collect()
        };
        let mut parent_fields = Vec::new();
        for field in node.list("parent_fields")? {
            parent_fields.push((path(&field, "parent_path")?, path(&field, "record_path")?));
        }
        let retriever = node.get("truncated_list_retriever");
        let on_none = node.get("on_no_records").map(|text| text.text()).transpose()?;
        Ok(Expander {
            path: node.templates(context, "expand_records_from_field")?,
            keep_original: node.boolean("remain_original_record")?.unwrap_or(false),
            emit_parent: on_none.as_deref() == Some("emit_parent"),
            merge_parent: node.boolean("merge_parent")?.unwrap_or(false),
            parent_fields,
            truncation_path: node.templates(context, "truncation_indicator_path")?,
            retriever: retriever.map(|node| SimpleRetriever::decode(&node, context, 1).map(Box::new)).transpose()?,
        })
    }
}
