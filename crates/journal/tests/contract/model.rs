//! Random lives of a journal against a plain list.

use crate::{Item, Open, World, soon};
use proptest::prelude::*;
use std::collections::HashSet;

#[derive(Clone, Debug)]
enum Step {
    /// Sizes and ids of the records of one append; few ids, so that many come twice.
    Append(Vec<(usize, Option<u8>)>),
    Read {
        from: u64,
        max: u64,
    },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![6 => 0..60_usize, 2 => 500..3_000_usize, 1 => 5_000..20_000_usize];
    let record = (size, prop::option::of(0..30_u8));
    prop_oneof![
        5 => prop::collection::vec(record, 1..12).prop_map(Step::Append),
        3 => (0..80_u64, prop_oneof![Just(0), 1..10_u64, Just(u64::MAX)])
            .prop_map(|(from, max)| Step::Read { from, max }),
        1 => Just(Step::Reopen),
    ]
}

/// What is expected to be there.
#[derive(Default)]
struct Model {
    records: Vec<Vec<u8>>,
    seen: HashSet<u8>,
    made: u64,
}

impl Model {
    /// Half of the data can be compressed, half cannot.
    fn data(&mut self, size: usize) -> Vec<u8> {
        self.made += 1;
        if self.made.is_multiple_of(2) {
            crate::noise(size, self.made)
        } else {
            self.made.to_string().into_bytes().into_iter().cycle().take(size).collect()
        }
    }
}

async fn append(open: &Open, model: &mut Model, records: &[(usize, Option<u8>)]) {
    let made: Vec<(Option<String>, Vec<u8>)> =
        records.iter().map(|(size, id)| (id.map(|id| id.to_string()), model.data(*size))).collect();
    let items: Vec<Item<'_>> = made.iter().map(|(id, data)| (id.as_deref(), &data[..])).collect();
    let appended = open.append(&items).await;
    let mut duplicates = Vec::new();
    for (index, ((_, id), (_, data))) in records.iter().zip(&made).enumerate() {
        if id.is_some_and(|id| !model.seen.insert(id)) {
            duplicates.push(index as u32);
        } else {
            model.records.push(data.clone());
        }
    }
    assert_eq!(appended.duplicates, duplicates);
    assert_eq!(appended.accepted as usize, records.len() - duplicates.len());
}

async fn read(open: &Open, model: &Model, from: u64, max: u64) {
    let page = soon(open.journal.read(&open.stream, from, max)).await.unwrap();
    let got: Vec<(u64, &[u8])> = page.records().map(|record| (record.offset, record.data)).collect();
    let there = model.records.iter().map(Vec::as_slice).enumerate().map(|(n, data)| (n as u64, data));
    let expected: Vec<_> = there.skip(from as usize).take(max.min(1 << 40) as usize).collect();
    // A page may end early, but not before its first record.
    assert_eq!(got.is_empty(), expected.is_empty());
    assert!(got[..] == expected[..got.len()], "from {from}, at most {max}");
    assert_eq!(page.next, from + got.len() as u64);
}

async fn live(steps: Vec<Step>) {
    let world = World::new();
    let (mut open, mut model) = (world.open().await, Model::default());
    for step in steps {
        match step {
            Step::Append(records) => append(&open, &mut model, &records).await,
            Step::Read { from, max } => read(&open, &model, from, max).await,
            Step::Reopen => open = world.reopen(open).await,
        }
    }
    let everything = async |open: &Open| {
        let mut at = 0;
        while at < model.records.len() as u64 {
            read(open, &model, at, 17).await;
            at += 17;
        }
    };
    everything(&open).await;
    everything(&world.reopen(open).await).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_is_a_list_without_repeated_ids(steps in prop::collection::vec(step(), 1..16)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live(steps));
    }
}
