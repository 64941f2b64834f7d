//! The iterators of a [`Map`](super::Map): types of our own, so that the library behind it stays replaceable.

use std::iter::FusedIterator;

use indexmap::map;

use super::Value;

macro_rules! iterators {
    ($($(#[$doc:meta])* $name:ident $(<$life:lifetime>)?: $inner:ty => $item:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name $(<$life>)?(pub(super) $inner);

        impl $(<$life>)? Iterator for $name $(<$life>)? {
            type Item = $item;

            fn next(&mut self) -> Option<Self::Item> {
                self.0.next()
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.0.size_hint()
            }
        }

        impl $(<$life>)? DoubleEndedIterator for $name $(<$life>)? {
            fn next_back(&mut self) -> Option<Self::Item> {
                self.0.next_back()
            }
        }

        impl $(<$life>)? ExactSizeIterator for $name $(<$life>)? {}

        impl $(<$life>)? FusedIterator for $name $(<$life>)? {}
    )*};
}

iterators! {
    /// Names and values of a [`Map`](super::Map), in order.
    Iter<'m>: map::Iter<'m, String, Value> => (&'m String, &'m Value);
    /// Names and values of a [`Map`](super::Map), in order; the values can be changed.
    IterMut<'m>: map::IterMut<'m, String, Value> => (&'m String, &'m mut Value);
    /// Names and values of a [`Map`](super::Map) that is used up, in order.
    IntoIter: map::IntoIter<String, Value> => (String, Value);
    /// The names of a [`Map`](super::Map), in order.
    Keys<'m>: map::Keys<'m, String, Value> => &'m String;
    /// The values of a [`Map`](super::Map), in order.
    Values<'m>: map::Values<'m, String, Value> => &'m Value;
    /// The values of a [`Map`](super::Map), in order; they can be changed.
    ValuesMut<'m>: map::ValuesMut<'m, String, Value> => &'m mut Value;
}
