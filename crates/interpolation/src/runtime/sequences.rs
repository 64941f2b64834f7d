//! Indices and slices.

use super::data::{Budget, Data, SequenceKind};
use super::numbers::{Number, number};
use super::{Fault, Outcome};

/// The item at `index`, from the end where negative.
pub(super) fn at<'a>(data: &Data<'a>, index: &Data<'a>, budget: &Budget) -> Outcome<Option<Data<'a>>> {
    let (Some(Number::Int(index)), Some(length)) = (number(index), data.length()) else {
        return Ok(None);
    };
    let length_signed = i128::try_from(length).unwrap_or(i128::MAX);
    let position = if index < 0 { index.saturating_add(length_signed) } else { index };
    let Some(position) = usize::try_from(position).ok().filter(|position| *position < length) else {
        return Ok(None);
    };
    Ok(match data {
        Data::JsonList(items) => items.get(position).map(Data::from_json),
        Data::List(items) => items.borrow().get(position).cloned(),
        Data::Tuple(items) => items.get(position).cloned(),
        Data::Text(text) => {
            budget.spend(text.as_str().len() / 8 + 1)?;
            text.as_str().chars().nth(position).map(|c| Data::text(c.to_string()))
        }
        _ => None,
    })
}

/// A bound of a slice: a whole number or none.
pub(super) fn slice_bound(data: &Data<'_>) -> Outcome<Option<i128>> {
    match (data, number(data)) {
        (_, Some(Number::Int(value))) => Ok(Some(value)),
        (Data::None, _) => Ok(None),
        _ => Err(Fault::Type("slice indices must be integers".to_owned())),
    }
}

pub(super) fn slice<'a>(data: &Data<'a>, bounds: [Option<i128>; 3], budget: &Budget) -> Outcome<Data<'a>> {
    let sliceable = matches!(data, Data::Text(_) | Data::JsonList(_) | Data::List(_) | Data::Tuple(_));
    if !sliceable {
        return Ok(Data::undefined("a slice"));
    }
    let [_, _, step] = bounds;
    if step == Some(0) {
        return Err(Fault::Other("slice step cannot be zero".to_owned()));
    }
    if let Data::Text(text) = data {
        budget.spend(text.as_str().len() / 8 + 1)?;
        let chars: Vec<char> = text.as_str().chars().collect();
        let sliced: String = positions(chars.len(), bounds).filter_map(|at| chars.get(at)).collect();
        return Ok(Data::text(sliced));
    }
    let items = data.items(budget)?;
    let sliced = positions(items.len(), bounds).filter_map(|at| items.get(at).cloned()).collect();
    Ok(match data {
        Data::Tuple(_) => Data::tuple(sliced),
        _ => Data::list(sliced),
    })
}

fn positions(length: usize, [start, stop, step]: [Option<i128>; 3]) -> impl Iterator<Item = usize> {
    let length = i128::try_from(length).unwrap_or(i128::MAX);
    let step = step.unwrap_or(1);
    let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let clamp = |bound: i128| (if bound < 0 { bound.saturating_add(length) } else { bound }).clamp(lowest, highest);
    let (first, end) = match step > 0 {
        true => (start.map_or(0, clamp), stop.map_or(length, clamp)),
        false => (start.map_or(length - 1, clamp), stop.map_or(-1, clamp)),
    };
    let mut position = Some(first);
    std::iter::from_fn(move || {
        let current = position.filter(|at| if step > 0 { *at < end } else { *at > end })?;
        position = current.checked_add(step);
        usize::try_from(current).ok()
    })
}

/// The items from last to first, where the value can be walked backwards.
pub(super) fn reversed<'a>(data: &Data<'a>, budget: &Budget) -> Outcome<Vec<Data<'a>>> {
    if matches!(data, Data::Sequence(_, SequenceKind::Generator)) {
        return Err(Fault::Type("'generator' object is not reversible".to_owned()));
    }
    let mut items = data.items(budget)?;
    items.reverse();
    Ok(items)
}
