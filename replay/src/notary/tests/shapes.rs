//! Trees of many sizes against the definition of RFC 6962.

use execution_ledger_domain::Digest;
use proptest::prelude::*;

use crate::notary::leaf_hash;
use crate::notary::tree::{
    Levels, consistency, is_consistent, node_hash, path, range, root_from_path,
};

fn leaves(count: u64) -> Vec<Digest> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

/// The definition, word by word.
fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of(&[]),
        [one] => *one,
        more => {
            let split = more.len().next_power_of_two() / 2;
            node_hash(root(&more[..split]), root(&more[split..]))
        }
    }
}

fn grown(leaves: &[Digest]) -> Levels {
    let mut levels = Levels::default();
    for leaf in leaves {
        levels.push(*leaf);
    }
    levels
}

#[test]
fn the_root_is_as_defined_at_every_size_around_the_borders_of_tiles() {
    let all = leaves(66_000);
    let mut levels = Levels::default();
    let looked_at = |size: usize| {
        size < 600
            || size.is_multiple_of(9_973)
            || (65_530..65_540).contains(&size)
            || size == 66_000
    };
    for (before, leaf) in all.iter().enumerate() {
        if looked_at(before) {
            assert_eq!(levels.root(), root(&all[..before]), "{before}");
        }
        levels.push(*leaf);
    }
    assert_eq!(levels.root(), root(&all));
}

#[test]
fn a_tree_that_goes_on_from_its_tiles_is_the_tree_that_grew() {
    let all = leaves(66_000);
    let mut tiles = std::collections::HashMap::new();
    let mut levels = Levels::default();
    for (before, leaf) in all.iter().enumerate() {
        if before.is_multiple_of(256 * 51) || before == 65_536 {
            let read = |tile| Ok::<_, ()>(tiles.get(&tile).cloned().unwrap());
            let resumed = Levels::of_full_tiles(before as u64 / 256, read).unwrap();
            assert_eq!(resumed.root(), levels.root(), "{before}");
            assert_eq!(resumed.size(), levels.size());
        }
        tiles.extend(levels.push(*leaf));
    }
}

proptest! {
    #[test]
    fn consistency_is_shown_between_the_roots_of_two_sizes_and_no_others(
        size in 1_u64..700, old in 0_u64..700, flip in 0_usize..4_096,
    ) {
        let old = old % (size + 1);
        let all = leaves(size);
        let at = |size: u64| (size, root(&all[..usize::try_from(size).unwrap()]));
        let mut node = |height: u32, number: u64| {
            let first = usize::try_from(number << height).unwrap();
            Ok::<_, ()>(root(&all[first..first + (1 << height)]))
        };
        let mut shown = consistency(old, size, &mut node).unwrap();
        prop_assert!(is_consistent(at(old), at(size), &shown));
        let (mut other_old, mut other) = (at(old), at(size));
        other_old.1.0[flip % 32] ^= 1;
        other.1.0[flip % 32] ^= 1;
        prop_assert!(!is_consistent(other_old, at(size), &shown));
        prop_assert!(old == 0 || !is_consistent(at(old), other, &shown));
        prop_assert!(old <= 1 || !is_consistent(at(old - 1), at(size), &shown));
        if !shown.is_empty() {
            let at_hash = flip / 32 % shown.len();
            shown[at_hash].0[flip % 32] ^= 1;
            prop_assert!(!is_consistent(at(old), at(size), &shown));
            shown[at_hash].0[flip % 32] ^= 1;
            shown.push(at(size).1);
            prop_assert!(!is_consistent(at(old), at(size), &shown));
            shown.truncate(shown.len() - 2);
            prop_assert!(!is_consistent(at(old), at(size), &shown));
        }
    }

    #[test]
    fn a_path_leads_to_the_root_from_its_own_leaf_and_place_alone(
        size in 1_u64..700, at in 0_u64..700, other in 0_u64..700, flip in 0_usize..4_096,
    ) {
        let (index, other) = (at % size, other % size);
        let all = leaves(size);
        let whole = grown(&all).root();
        let mut node = |height: u32, number: u64| {
            let first = usize::try_from(number << height).unwrap();
            Ok::<_, ()>(root(&all[first..first + (1 << height)]))
        };
        prop_assert_eq!(range(0, size, &mut node), Ok(whole));
        let mut shown = path(index, size, &mut node).unwrap();
        let at = |index: u64| all[usize::try_from(index).unwrap()];
        let leaf = at(index);
        prop_assert_eq!(root_from_path(leaf, index, size, &shown), Some(whole));
        if other != index {
            prop_assert_ne!(root_from_path(at(other), index, size, &shown), Some(whole));
            prop_assert_ne!(root_from_path(leaf, other, size, &shown), Some(whole));
        }
        prop_assert_eq!(root_from_path(leaf, size, size, &shown), None);
        if !shown.is_empty() {
            let (hash, bit) = (flip / 256 % shown.len(), flip % 256);
            shown[hash].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert_ne!(root_from_path(leaf, index, size, &shown), Some(whole));
            shown.pop();
            prop_assert_ne!(root_from_path(leaf, index, size, &shown), Some(whole));
        }
    }
}
