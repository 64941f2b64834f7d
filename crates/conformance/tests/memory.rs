//! The reference store passes its own kit.

highwater_conformance::conformance_tests!(highwater_conformance::MemorySubject);
