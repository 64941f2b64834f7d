//! Stateful APIs after the documentation of providers: enough of each that a template can be proven on it.
