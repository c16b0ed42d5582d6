//! Server-sent events, as the HTML standard parses them ("Interpreting an event stream").

use core::cell::Cell;

/// One event that has arrived whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: Option<String>,
    pub(super) data: String,
}

/// What a stream has said so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stream {
    /// Events with data.
    pub(super) events: Vec<Event>,
    /// Where to take the stream up again.
    pub(super) last_id: Option<String>,
    /// How long to wait before that, in milliseconds.
    pub(super) retry: Option<u64>,
}

/// Reads the bytes so far. An event counts once its blank line has come.
pub(super) fn parse(bytes: &[u8]) -> Stream {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut stream = Stream::default();
    let mut data: Option<String> = None;
    let mut rest = text;
    // A line counts once its end has come; `\r\n`, `\n` and `\r` all end one.
    while let Some(at) = rest.find(['\r', '\n']) {
        let line = &rest[..at];
        rest = rest[at..].strip_prefix("\r\n").unwrap_or(&rest[at + 1..]);
        if line.is_empty() {
            if let Some(data) = data.take() {
                stream.events.push(Event {
                    id: stream.last_id.clone(),
                    data,
                });
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => match &mut data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => data = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => stream.last_id = Some(value.to_owned()),
            "retry" => stream.retry = value.parse().ok().or(stream.retry),
            _ => {}
        }
    }
    stream.events.retain(|event| !event.data.is_empty());
    stream
}

/// Watches a stream that grows, and says when an event's data passes a test. Each event is read once.
pub(super) fn watch(wanted: impl Fn(&str) -> bool + 'static) -> impl Fn(&[u8]) -> bool + 'static {
    let read = Cell::new(0);
    move |body| {
        let from = read.get().min(body.len());
        let Some(end) = last_blank_line(&body[from..]).map(|at| from + at) else {
            return false;
        };
        read.set(end);
        parse(&body[from..end])
            .events
            .iter()
            .any(|event| wanted(&event.data))
    }
}

/// Where the last blank line of `bytes` ends.
fn last_blank_line(bytes: &[u8]) -> Option<usize> {
    let ends = |at: usize| {
        [&b"\n\n"[..], b"\r\r", b"\n\r"]
            .iter()
            .any(|blank| bytes[..at].ends_with(blank))
    };
    (2..=bytes.len()).rev().find(|at| ends(*at))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn data(text: &str) -> Vec<String> {
        parse(text.as_bytes())
            .events
            .into_iter()
            .map(|event| event.data)
            .collect()
    }

    #[test]
    fn every_line_ending_and_an_optional_space_are_understood() {
        assert_eq!(data("data: a\n\ndata:b\r\n\r\ndata:  c\r\r"), ["a", "b", " c"]);
    }

    #[test]
    fn lines_of_data_are_joined_and_comments_and_unknown_fields_ignored() {
        assert_eq!(
            data(": hello\nevent: message\ndata: one\ndata: two\nother: x\n\n"),
            ["one\ntwo"]
        );
    }

    #[test]
    fn an_event_whose_blank_line_has_not_come_does_not_count_yet() {
        assert_eq!(data("data: whole\n\ndata: ha"), ["whole"]);
        assert_eq!(data("data: whole\n\ndata: half\n"), ["whole"]);
    }

    #[test]
    fn an_event_without_data_only_says_where_to_go_on() {
        let stream = parse(b"id: 7\nretry: 50\ndata:\n\n");
        assert_eq!(
            (stream.events.len(), stream.last_id.as_deref(), stream.retry),
            (0, Some("7"), Some(50))
        );
    }

    #[test]
    fn a_growing_stream_is_watched_whatever_way_it_is_cut() {
        let stream = b": hi\r\n\r\ndata: one\n\nid: 3\ndata: two\r\n\r\ndata: three\n\n";
        for step in 1..=stream.len() {
            let passes = watch(|data| data == "two");
            let first = (1..=stream.len())
                .filter(|n| n % step == 0 || *n == stream.len())
                .find(|n| passes(&stream[..*n]));
            assert!(first.is_some_and(|n| n >= 37), "{step}: {first:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_and_however_it_is_cut_the_events_are_the_same(
            pieces in proptest::collection::vec("(data:|id:|: |retry:|[a-z\u{e4} ]{0,3}|\r\n|\n|\r|\n\n)", 0..40),
            cuts in proptest::collection::vec(0usize..200, 0..8),
        ) {
            let bytes = pieces.concat().into_bytes();
            let whole: Vec<String> = parse(&bytes).events.into_iter().map(|event| event.data).collect();
            let seen = std::rc::Rc::new(core::cell::RefCell::new(Vec::new()));
            let log = std::rc::Rc::clone(&seen);
            let watched = watch(move |data| {
                log.borrow_mut().push(data.to_owned());
                false
            });
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            cuts.push(bytes.len());
            for cut in cuts {
                proptest::prop_assert!(!watched(&bytes[..cut]));
            }
            proptest::prop_assert_eq!(&*seen.borrow(), &whole);
        }
    }
}
