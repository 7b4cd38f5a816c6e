//! Server-sent events, read from pieces of bytes as they come
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>).

/// One dispatched event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// The `event:` field; empty means `message`.
    pub name: String,
    pub data: String,
}

/// The largest event that is put together; more than any record may be.
const MAX_EVENT_BYTES: usize = 32 << 20;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Cuts pieces into lines and lines into events.
#[derive(Default)]
pub(crate) struct SseParser {
    bytes: Vec<u8>,
    /// Where in `bytes` the unread part starts.
    start: usize,
    /// Up to where `bytes` is known to hold no line end.
    scanned: usize,
    event: SseEvent,
    has_data: bool,
    id: Option<String>,
    last_id: Option<String>,
}

impl SseParser {
    /// The last `id:` of a block that is complete, also of one without data.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    pub fn push(&mut self, piece: &[u8]) -> Result<(), TooLarge> {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        if self.bytes.len() + self.event.data.len() + piece.len() > MAX_EVENT_BYTES {
            return Err(TooLarge);
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// The next complete event of what was pushed.
    pub fn next_event(&mut self) -> Option<SseEvent> {
        while let Some(end) = self.line_end() {
            let line =
                self.bytes[self.start..end].strip_suffix(b"\r").unwrap_or(&self.bytes[self.start..end]);
            let line = String::from_utf8_lossy(line).into_owned();
            self.start = end + 1;
            self.scanned = self.start;
            if let Some(event) = self.take_line(&line) {
                return Some(event);
            }
        }
        None
    }

    fn line_end(&mut self) -> Option<usize> {
        let found = self.bytes[self.scanned..].iter().position(|&byte| byte == b'\n');
        match found {
            Some(at) => Some(self.scanned + at),
            None => {
                self.scanned = self.bytes.len();
                None
            }
        }
    }

    fn take_line(&mut self, line: &str) -> Option<SseEvent> {
        if line.is_empty() {
            self.last_id = self.id.take().or(self.last_id.take());
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.name = value.to_owned(),
            "id" => self.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(value);
            }
            // An empty field is a comment, which is how the server pings; `retry` is for browsers.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEED: &str =
        ": ping\r\n\r\nid: 6\n\nid: 7\ndata: {\"a\":\ndata: 1}\n\nevent: gap\ndata:{\"gap\":3}\n\ndata: half";

    #[test]
    fn events_come_out_whole_however_the_bytes_are_cut() {
        for size in [1, 2, 7, FEED.len()] {
            let mut parser = SseParser::default();
            let mut events = Vec::new();
            for piece in FEED.as_bytes().chunks(size) {
                parser.push(piece).unwrap();
                events.extend(std::iter::from_fn(|| parser.next_event()));
            }
            assert_eq!(
                events,
                [
                    SseEvent { name: String::new(), data: "{\"a\":\n1}".into() },
                    SseEvent { name: "gap".into(), data: "{\"gap\":3}".into() },
                ],
                "cut every {size} bytes"
            );
            assert_eq!(parser.last_id(), Some("7"));
        }
    }

    #[test]
    fn a_place_can_come_before_the_first_event() {
        let mut parser = SseParser::default();
        parser.push(b"id: 6\n\n").unwrap();
        assert_eq!((parser.next_event(), parser.last_id()), (None, Some("6")));
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut parser = SseParser::default();
        let piece = vec![b'x'; MAX_EVENT_BYTES / 2];
        assert_eq!(parser.push(&piece), Ok(()));
        assert_eq!(parser.push(&piece), Ok(()));
        assert_eq!(parser.push(b"x"), Err(TooLarge));
    }
}
