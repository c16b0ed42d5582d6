//! One target: its plugins in the order of their needs and priorities, so many at once.

use std::rc::Rc;

use futures::stream::{FuturesUnordered, StreamExt};

use super::plugin::{Earlier, Outcome, Plugin};

/// A plugin that was made, or why it could not be.
pub(super) type Made = Result<Rc<dyn Plugin>, String>;

/// The order in which a target's plugins start: priority first, then the order they were given in.
pub(super) fn order(plugins: &[Made]) -> Vec<usize> {
    let priority = |index: usize| plugins[index].as_ref().map_or(0, |plugin| plugin.priority());
    let mut order: Vec<usize> = (0..plugins.len()).collect();
    order.sort_by_key(|index| (-priority(*index), *index));
    order
}

/// The names of plugins that need each other in a circle, if some do.
pub(super) fn circle(plugins: &[(&'static str, &Made)]) -> Option<Vec<&'static str>> {
    let mut left: Vec<usize> = (0..plugins.len()).collect();
    loop {
        let blocked = |index: usize, left: &[usize]| {
            let needs = plugins[index].1.as_ref().map_or(&[][..], |plugin| plugin.needs());
            left.iter().any(|other| needs.contains(&plugins[*other].0))
        };
        let still: Vec<usize> = left
            .iter()
            .copied()
            .filter(|index| blocked(*index, &left))
            .collect();
        if still.is_empty() {
            return None;
        }
        if still.len() == left.len() {
            return Some(still.into_iter().map(|index| plugins[index].0).collect());
        }
        left = still;
    }
}

/// Runs every plugin once, at most `workers` at once, each as soon as its needs have ended. `run` is given the plugin's
/// index and what the others found so far; what it returns is there for those that come after.
pub(super) async fn visit<'a, F>(
    names: &[&'static str],
    plugins: &[Made],
    workers: usize,
    run: impl Fn(usize, Earlier) -> F + 'a,
) where
    F: Future<Output = Option<Rc<Outcome>>> + 'a,
{
    let mut pending = order(plugins);
    let mut earlier = Earlier::default();
    let mut running = FuturesUnordered::new();
    let mut at_work: Vec<usize> = Vec::new();
    loop {
        while at_work.len() < workers {
            let unmet = |need: &&str| pending.iter().chain(&at_work).any(|index| names[*index] == *need);
            let ready = |index: &usize| match &plugins[*index] {
                Ok(plugin) => !plugin.needs().iter().any(unmet),
                Err(_) => true,
            };
            let Some(place) = pending.iter().position(ready) else {
                break;
            };
            let index = pending.remove(place);
            at_work.push(index);
            let ended = run(index, earlier.clone());
            running.push(async move { (index, ended.await) });
        }
        let Some((index, outcome)) = running.next().await else {
            return;
        };
        at_work.retain(|other| *other != index);
        if let Some(outcome) = outcome {
            earlier.add(names[index], outcome);
        }
    }
}
