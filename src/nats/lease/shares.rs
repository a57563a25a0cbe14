//! Whose the partitions are to be. Everybody who sees the same keys comes to the same result.

use std::collections::BTreeMap;

use crate::broker::Topic;
use crate::broker::group::{MemberId, Place, Readers, Share, assign};

use super::Part;
use super::view::{Life, View};

/// The partitions that are to be this member's.
pub(super) fn mine(view: &View, me: &str) -> Vec<Part> {
    let members: Vec<(&str, &BTreeMap<Topic, u32>)> = view
        .members
        .iter()
        .filter_map(|(name, member)| match &member.life {
            Life::Alive(member) => Some((name.as_str(), &member.topics)),
            Life::Gone | Life::Heard => None,
        })
        .collect();
    let number = |name: &str| members.iter().position(|(it, _)| *it == name);
    let Some(my_number) = number(me) else {
        return Vec::new();
    };

    let mut names = Vec::<&Topic>::new();
    let mut topics = BTreeMap::<u32, Readers>::new();
    let mut all: Vec<&Topic> = members.iter().flat_map(|(_, read)| read.keys()).collect();
    all.sort_unstable();
    all.dedup();
    for (id, topic) in (0..).zip(all) {
        let readers = topics.entry(id).or_default();
        for (member, (_, read)) in members.iter().enumerate() {
            if let Some(&partitions) = read.get(topic) {
                readers.members.push(member as MemberId);
                readers.partitions = readers.partitions.max(partitions);
            }
        }
        names.push(topic);
    }

    let mut shares = Vec::new();
    for (&topic, readers) in &topics {
        for partition in 0..readers.partitions {
            let part = Part {
                topic: names[topic as usize].clone(),
                partition,
            };
            let owner = view.owner(&part).and_then(number);
            shares.push(Share {
                place: Place { topic, partition },
                owner: None,
                target: owner.map(|owner| owner as MemberId),
            });
        }
    }
    assign(&topics, &mut shares);
    shares
        .into_iter()
        .filter(|share| share.target == Some(my_number as MemberId))
        .map(|share| Part {
            topic: names[share.place.topic as usize].clone(),
            partition: share.place.partition,
        })
        .collect()
}
