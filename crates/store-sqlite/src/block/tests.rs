//! Blocks: what is written comes back, and what is damaged is told.

use rusqlite::types::ValueRef;

use super::*;

const ROOM: usize = 8000;

fn row(sequence: u64, id: &'static str, payload: Option<&'static [u8]>) -> LogRow<'static> {
    LogRow {
        sequence,
        cursor: u128::from(sequence) << 70,
        epoch: 5,
        birth: if sequence.is_multiple_of(2) { 3 } else { u128::from(sequence) << 70 },
        action: Action::from_code(u8::try_from(sequence % 3).unwrap()).unwrap(),
        first_seen_at: -9,
        pruned_at: sequence.is_multiple_of(5).then_some(-4),
        id,
        hashes: &[1, 2, 3],
        extra: sequence.is_multiple_of(4).then_some(&[8, 9]),
        payload,
    }
}

fn rows(builder: &BlockBuilder) -> Vec<LogRow<'_>> {
    let block = builder.block().unwrap();
    block.rows(0).collect::<Result<_>>().unwrap()
}

fn payloads(builder: &mut BlockBuilder) -> (bool, Vec<u8>) {
    match builder.columns()[3] {
        ToSqlOutput::Borrowed(ValueRef::Text(text)) => (true, text.to_vec()),
        ToSqlOutput::Borrowed(ValueRef::Blob(bytes)) => (false, bytes.to_vec()),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn rows_come_back_as_they_were() {
    for kinds in [[Some(&b"{}"[..]), None, Some(b"{\"a\":1}")], [Some(&b"\x01"[..]), None, Some(b"\x02\x03")]] {
        let given: Vec<_> = (1..30_u64).map(|n| row(n * 2, "an id", kinds[((n + 2) % 3) as usize])).collect();
        let mut builder = BlockBuilder::default();
        for row in &given {
            assert!(builder.takes(row, ROOM));
            builder.push(row).unwrap();
        }
        assert_eq!(rows(&builder), given);
        assert_eq!(builder.last(), Some(58));
        let block = builder.block().unwrap();
        assert_eq!([1, 2, 3, 58, 59].map(|sequence| block.place_of(sequence)), [0, 0, 1, 28, 29]);
    }
}

#[test]
fn payloads_are_an_array_that_sql_reads_or_a_codecs_bytes() {
    let mut builder = BlockBuilder::default();
    builder.push(&row(1, "a", Some(b"{\"a\":1}"))).unwrap();
    builder.push(&row(2, "b", None)).unwrap();
    let encoded = row(3, "c", Some(b"\x01"));
    assert!(!builder.takes(&encoded, ROOM), "a codec's bytes make a block of their own");
    assert!(!builder.takes(&row(3, "c", Some(b"{}")), 150), "no more than there is room for");
    let (mut mixed, mut plain) = (BlockBuilder::default(), BlockBuilder::default());
    mixed.copy(&builder.block().unwrap(), None, Some(&encoded)).unwrap();
    assert_eq!(rows(&mixed).iter().map(|row| row.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    plain.copy(&mixed.block().unwrap(), Some(3), Some(&row(3, "c", Some(b"{}")))).unwrap();
    assert_eq!(rows(&plain).iter().map(|row| row.payload).collect::<Vec<_>>()[2], Some(&b"{}"[..]));
    assert_eq!(payloads(&mut builder), (true, br#"[{"a":1},null]"#.to_vec()));
    assert_eq!(payloads(&mut plain), (true, br#"[{"a":1},null,{}]"#.to_vec()));
    assert_eq!(payloads(&mut mixed), (false, b"{\"a\":1}\x01".to_vec()));
}

#[test]
fn what_is_damaged_is_told_and_never_panics() {
    let mut builder = BlockBuilder::default();
    for n in 1..4 {
        builder.push(&row(n, "id", Some(b"{}"))).unwrap();
    }
    let block = |directory: &[u8], details: &[u8], payloads: &[u8]| -> Result<usize> {
        let block = Block::new(directory, details, Payloads::Text(payloads))?;
        block.rows(0).map(|row| row.map(|row| row.id.len())).sum()
    };
    let (directory, details, payloads) = (&*builder.directory, &*builder.details, &*builder.payloads);
    assert_eq!(block(directory, details, payloads).unwrap(), 6);
    assert!(
        (0..directory.len())
            .all(|end| end % ENTRY == 0 && end > 0 || block(&directory[..end], details, payloads).is_err())
    );
    assert!((0..details.len()).all(|end| block(directory, &details[..end], payloads).is_err()));
    assert!((0..payloads.len()).all(|end| block(directory, details, &payloads[..end]).is_err()));
    for place in 0..directory.len() {
        for bit in 0..8 {
            let mut bent = directory.to_vec();
            bent[place] ^= 1 << bit;
            let _ = block(&bent, details, payloads);
        }
    }
}
