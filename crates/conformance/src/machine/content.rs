//! Records of the state machine: few contents, many spellings.

/// What a record holds; every member may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) n: Option<u8>,
    pub(crate) open: Option<bool>,
    pub(crate) deep: [Option<u8>; 2],
}

/// A content as it is written: a store keeps it to the byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spelled {
    pub(crate) text: String,
    /// Each member's name, and how its value is written.
    members: Vec<(&'static str, String)>,
    /// Places in `deep`, as they are written.
    deep: Vec<usize>,
}

impl Content {
    /// The content as JSON, in one of several spellings.
    pub(crate) fn spelled(&self, spelling: u8) -> Spelled {
        let mut members = Vec::new();
        let deep: Vec<usize> = (0..2).filter(|place| self.deep[*place].is_some()).collect();
        if let Some(n) = self.n {
            let number = match spelling % 4 {
                0 => format!("{n}"),
                1 => format!("{n}.0"),
                2 => format!("{n}.0e-0"),
                _ => format!("{n}e0"),
            };
            members.push(("n", number));
        }
        if let Some(open) = self.open {
            members.push(("open", open.to_string()));
        }
        if self.deep != [None, None] {
            members.push(("deep", self.deep_value(&deep, ", ")));
        }
        if spelling % 2 == 1 {
            members.reverse();
        }
        let escaped = spelling % 3 == 1;
        let key = |name: &str| if escaped && name == "open" { "\\u006fpen".to_owned() } else { name.to_owned() };
        let between = if spelling % 5 == 2 { " ,\n" } else { "," };
        let written: Vec<String> = members.iter().map(|(name, value)| format!("\"{}\":{value}", key(name))).collect();
        Spelled { text: format!("{{{}}}", written.join(between)), members, deep }
    }

    fn deep_value(&self, order: &[usize], between: &str) -> String {
        let member = |place: &usize| self.deep[*place].map(|value| format!("\"{}\":{value}", ["a", "b"][*place]));
        let inner: Vec<String> = order.iter().filter_map(member).collect();
        format!("{{{}}}", inner.join(between))
    }

    /// The content of a text that a store gave.
    pub(crate) fn read(text: &str) -> Self {
        let value: serde_json::Value = serde_json::from_str(text).expect("a stored record is JSON");
        let small = |value: &serde_json::Value| value.as_f64().map(|number| number as u8);
        Content {
            n: small(&value["n"]),
            open: value["open"].as_bool(),
            deep: [small(&value["deep"]["a"]), small(&value["deep"]["b"])],
        }
    }

    /// This content with a patch merged in.
    pub(crate) fn merged(&self, patch: &Content) -> Self {
        Content {
            n: patch.n.or(self.n),
            open: patch.open.or(self.open),
            deep: [patch.deep[0].or(self.deep[0]), patch.deep[1].or(self.deep[1])],
        }
    }

    /// What counts of it, where `n` may not.
    pub(crate) fn counted(&self, without_n: bool) -> Self {
        if without_n { Content { n: None, ..*self } } else { *self }
    }

    /// Whether `n` is there at all: an ignored value counts as a value, a missing one does not.
    pub(crate) fn differs(&self, other: &Content, without_n: bool) -> bool {
        self.counted(without_n) != other.counted(without_n) || (without_n && self.n.is_some() != other.n.is_some())
    }
}

impl Spelled {
    /// A patch laid over this: members keep their place and spelling where the patch has none, new ones follow.
    pub(crate) fn patched(&self, before: &Content, patch: &Content) -> Self {
        let (mut members, mut deep) = (self.members.clone(), self.deep.clone());
        let patch_spelled = patch.spelled(0);
        deep.extend(patch_spelled.deep.iter().filter(|place| !self.deep.contains(place)));
        for (name, value) in patch_spelled.members {
            let both = name == "deep" && before.deep != [None, None];
            let value = if both { before.merged(patch).deep_value(&deep, ",") } else { value };
            match members.iter_mut().find(|(known, _)| *known == name) {
                Some((_, old)) => *old = value,
                None => members.push((name, value)),
            }
        }
        let written: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        Spelled { text: format!("{{{}}}", written.join(",")), members, deep }
    }
}
