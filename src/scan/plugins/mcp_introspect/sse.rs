//! Server-sent events, as the HTML standard parses them ("Interpreting an event stream").

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
