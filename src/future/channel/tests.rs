use super::*;
use crate::future::select::Select;
use crate::future::virtual_runtime::VirtualRuntime;
use futures::{FutureExt, StreamExt};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

type Numbers = Channel<VirtualRuntime, u32>;

fn channels<const N: usize>(capacity: u32) -> (VirtualRuntime, [Numbers; N]) {
    let runtime = VirtualRuntime::new();
    let host = Host::new(runtime.clone());
    let channels = std::array::from_fn(|_| Channel::new(&host, capacity).unwrap());
    (runtime, channels)
}

#[test]
fn a_producer_runs_no_further_ahead_than_the_capacity() {
    let (runtime, [channel]) = channels(2);
    let sender = channel.clone();
    let sent = Rc::new(Cell::new(0));
    let counter = Rc::clone(&sent);
    runtime.spawn(async move {
        for n in 0..10 {
            sender.send(n).await.unwrap();
            counter.set(n + 1);
        }
        sender.close();
    });
    runtime.settle();
    assert_eq!((sent.get(), channel.len(), channel.waiting_to_send()), (2, 2, 1));
    let received: Vec<u32> = runtime.block_on(channel.stream().collect());
    assert_eq!(received, (0..10).collect::<Vec<_>>());
    assert!(channel.0.values.borrow().is_empty());
}

#[test]
fn a_rendezvous_ends_for_both_together() {
    let (runtime, [channel]) = channels(0);
    assert_eq!(channel.try_send(1).unwrap_err().reason, AcquireError::NotNow);
    let (sent, received) = runtime.block_on(async { futures::join!(channel.send(1), channel.receive()) });
    assert_eq!((sent, received), (Ok(()), Some(1)));
}

#[test]
fn waiting_ends_at_t_and_the_value_comes_back() {
    let (runtime, [channel]) = channels(0);
    let error = runtime
        .block_on(channel.send_within(7, Duration::from_secs(3)))
        .unwrap_err();
    assert_eq!((error.value, error.reason), (7, AcquireError::QueueTimeout));
    assert_eq!(error.to_string(), "not sent: waited too long in the queue");
    let received = runtime.block_on(channel.receive_within(Duration::from_secs(2)));
    assert_eq!(received, Err(AcquireError::QueueTimeout));
    assert_eq!(runtime.now().as_micros(), 5_000_000);
    assert!(channel.0.values.borrow().is_empty());
}

#[test]
fn closing_hands_values_back_to_senders_and_lets_receivers_empty_it() {
    let (runtime, [channel]) = channels(1);
    channel.try_send(1).unwrap();
    let mut waiting = Box::pin(channel.send(2));
    assert!(waiting.as_mut().now_or_never().is_none());
    channel.close();
    let error = runtime.block_on(waiting).unwrap_err();
    assert_eq!((error.value, error.reason), (2, AcquireError::Closed));
    assert_eq!(channel.try_receive(), Ok(1));
    assert_eq!(channel.try_receive(), Err(AcquireError::Closed));
    assert_eq!(runtime.block_on(channel.receive()), None);
    assert_eq!(
        runtime.block_on(channel.receive_within(Duration::from_secs(1))),
        Ok(None)
    );
}

#[test]
fn a_send_polled_once_and_dropped_sends_nothing() {
    let (_, [channel]) = channels(0);
    assert!(channel.send(1).now_or_never().is_none());
    assert_eq!(channel.waiting_to_send(), 0);
    assert_eq!(channel.try_receive(), Err(AcquireError::NotNow));
    assert!(channel.0.values.borrow().is_empty());
}

#[test]
fn a_send_dropped_after_its_value_was_taken_has_sent_it() {
    let (_, [channel]) = channels(1);
    channel.try_send(1).unwrap();
    let mut second = Box::pin(channel.send(2));
    assert!(second.as_mut().now_or_never().is_none());
    assert_eq!(channel.try_receive(), Ok(1));
    drop(second);
    assert_eq!(channel.try_receive(), Ok(2));
}

#[test]
fn a_receive_dropped_after_its_wake_loses_nothing_and_changes_no_order() {
    let (_, [channel]) = channels(2);
    let mut receive = Box::pin(channel.receive());
    assert!(receive.as_mut().now_or_never().is_none());
    channel.try_send(1).unwrap();
    channel.try_send(2).unwrap();
    assert_eq!(channel.len(), 1, "the first is in the hands of the receiver");
    drop(receive);
    assert_eq!((channel.try_receive(), channel.try_receive()), (Ok(1), Ok(2)));
}

#[test]
fn values_that_nobody_received_are_dropped_with_the_last_handle() {
    let runtime = VirtualRuntime::new();
    let channel = Channel::new(&Host::new(runtime.clone()), 1).unwrap();
    let value = Rc::new(());
    channel.try_send(Rc::clone(&value)).unwrap();
    let sending = channel.send(Rc::clone(&value)).now_or_never();
    assert!(sending.is_none());
    drop(channel);
    assert_eq!(Rc::strong_count(&value), 1);
}

#[test]
fn a_select_takes_exactly_one_and_leaves_the_others_as_they_were() {
    let (runtime, [a, b]) = channels(1);
    let mut both = Box::pin(
        Select::new()
            .receive(&a, |n| ("a", n))
            .receive(&b, |n| ("b", n))
            .wait(),
    );
    assert!(both.as_mut().now_or_never().is_none());
    b.try_send(1).unwrap();
    a.try_send(2).unwrap();
    assert_eq!(runtime.block_on(both), ("b", Some(1)));
    assert_eq!(
        (a.try_receive(), a.waiting_to_receive(), b.waiting_to_receive()),
        (Ok(2), 0, 0)
    );
}

#[test]
fn of_several_that_can_the_first_named_is_taken() {
    let (runtime, [a, b]) = channels(1);
    a.try_send(1).unwrap();
    let chosen = Select::new()
        .send(&b, 2, |sent| (0, sent.is_ok().then_some(2)))
        .receive(&a, |n| (1, n))
        .wait();
    assert_eq!(runtime.block_on(chosen), (0, Some(2)));
    assert_eq!((a.len(), b.len()), (1, 1));
    // Now only the other one can.
    let chosen = Select::new()
        .send(&b, 3, |_| 0)
        .receive(&a, |n| n.unwrap_or(9))
        .wait();
    assert_eq!(runtime.block_on(chosen), 1);
    assert_eq!(
        b.0.values.borrow().len(),
        1,
        "the value that was not sent is gone"
    );
}

#[test]
fn a_select_ends_at_t_and_leaves_nothing_behind() {
    let (runtime, [a, b]) = channels(0);
    let select = Select::new().receive(&a, |_| ()).send(&b, 1, |_| ());
    let ended = runtime.block_on(select.wait_within(Duration::from_secs(4)));
    assert_eq!(ended, Err(AcquireError::QueueTimeout));
    assert_eq!(runtime.now().as_micros(), 4_000_000);
    assert_eq!((a.waiting_to_receive(), b.waiting_to_send()), (0, 0));
    assert!(b.0.values.borrow().is_empty());
}

#[test]
fn a_closed_channel_decides_a_select() {
    let (runtime, [a, b]) = channels(0);
    let mut both = Box::pin(Select::new().receive(&a, |n| n).receive(&b, |n| n).wait());
    assert!(both.as_mut().now_or_never().is_none());
    b.close();
    assert_eq!(runtime.block_on(both), None);
    let sent = Select::new()
        .receive(&a, |_| Ok(()))
        .send(&b, 1, |sent| sent)
        .wait();
    assert_eq!(runtime.block_on(sent).unwrap_err().value, 1);
    assert_eq!(a.waiting_to_receive(), 0);
}

#[test]
fn a_select_dropped_after_its_wake_loses_nothing() {
    let (_, [a, b]) = channels(0);
    let mut both = Box::pin(Select::new().receive(&a, |n| n).receive(&b, |n| n).wait());
    assert!(both.as_mut().now_or_never().is_none());
    a.try_send(1).unwrap();
    drop(both);
    assert_eq!(a.try_receive(), Ok(1));
    assert_eq!((a.waiting_to_receive(), b.waiting_to_receive()), (0, 0));
}

#[test]
fn a_select_of_nothing_waits_in_vain() {
    let runtime = VirtualRuntime::new();
    assert!(
        runtime
            .try_block_on(Select::<VirtualRuntime, ()>::new().wait())
            .is_err()
    );
    let none = Select::<VirtualRuntime, ()>::new().wait_within(Duration::from_secs(1));
    assert_eq!(runtime.block_on(none), Err(AcquireError::QueueTimeout));
}
