//! What was measured, beside its limits.

use serde_json::{Map, Value};

/// A figure: of which set, what, and the most that it may be.
struct Figure {
    set: &'static str,
    unit: &'static str,
    value: u64,
    limit: Option<u64>,
}

#[derive(Default)]
pub(super) struct Figures(Vec<Figure>);

impl Figures {
    pub(super) fn add(&mut self, set: &'static str, unit: &'static str, value: u64, limit: Option<u64>) {
        self.0.push(Figure { set, unit, value, limit });
    }

    /// An object with members such as `default_bytes`, or a line per set.
    pub(super) fn print(&self, json: bool) {
        if json {
            let members = self.0.iter().map(|figure| (format!("{}_{}", figure.set, figure.unit), figure.value.into()));
            println!("{}", Value::Object(members.collect::<Map<_, _>>()));
            return;
        }
        println!("{:16} {:>8} {:>12} {:>8}", "set", "crates", "bytes", "seconds");
        for figures in self.0.chunk_by(|left, right| left.set == right.set) {
            let of = |unit: &str| {
                figures
                    .iter()
                    .find(|figure| figure.unit == unit)
                    .map_or_else(String::new, |figure| figure.value.to_string())
            };
            println!("{:16} {:>8} {:>12} {:>8}", figures[0].set, of("crates"), of("bytes"), of("s"));
        }
    }

    /// # Errors
    ///
    /// If a figure exceeds its limit by more than 5 %.
    pub(super) fn check(&self) -> Result<(), String> {
        let exceeded: Vec<String> = self
            .0
            .iter()
            .filter_map(|figure| {
                let limit = figure.limit?;
                let is_exceeded = figure.value > limit + limit / 20;
                is_exceeded
                    .then(|| format!("{}_{} is {}, and may be {limit} plus 5 %", figure.set, figure.unit, figure.value))
            })
            .collect();
        if exceeded.is_empty() { Ok(()) } else { Err(exceeded.join("\n")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_may_exceed_its_limit_by_a_twentieth() {
        let check = |value| {
            let mut figures = Figures::default();
            figures.add("default", "crates", value, Some(100));
            figures.add("first_command", "s", value, None);
            figures.check()
        };
        assert_eq!(check(105), Ok(()));
        assert_eq!(check(106), Err("default_crates is 106, and may be 100 plus 5 %".to_owned()));
    }
}
