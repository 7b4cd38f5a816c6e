//! WebSocket frames (RFC 6455 §5): what a server writes, and what it makes of what clients write. Pure.

use bytes::Bytes;

/// The most bytes that a control frame carries (§5.5).
const CONTROL_BYTES: usize = 125;
const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const RESERVED: u8 = 0x70;

pub const TEXT: u8 = 0x1;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xa;
const CONTINUATION: u8 = 0x0;
pub const BINARY: u8 = 0x2;

/// Why a connection ends (§7.4.1), or one of an application's own, from 4000 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u16);

impl Code {
    #[cfg(test)]
    pub const NORMAL: Code = Code(1000);
    pub const AWAY: Code = Code(1001);
    pub const PROTOCOL: Code = Code(1002);
    pub const UNSUPPORTED: Code = Code(1003);
    /// Of a close frame that named no code.
    pub const NONE: Code = Code(1005);
    pub const NOT_UTF8: Code = Code(1007);
    pub const TOO_LARGE: Code = Code(1009);

    /// Whether an endpoint may send it (§7.4).
    fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

/// A client that does not keep to the protocol: the code to close with, and the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub Code, pub &'static str);

/// What a client said, whole.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Code),
}

/// Appends the head of a server's frame. It depends on the length alone, so a frame can be made once for everybody.
pub fn push_head(out: &mut Vec<u8>, opcode: u8, length: usize) {
    out.push(FIN | opcode);
    match length {
        0..=125 => out.push(length as u8),
        126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// How many bytes [`push_head`] appends.
pub fn head_bytes(length: usize) -> usize {
    match length {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// A whole frame of a server.
pub fn frame(opcode: u8, payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(head_bytes(payload.len()) + payload.len());
    push_head(&mut out, opcode, payload.len());
    out.extend_from_slice(payload);
    out.into()
}

/// A close frame; a reason that is too long is cut.
pub fn close(code: Code, reason: &str) -> Bytes {
    if code == Code::NONE {
        return frame(CLOSE, &[]);
    }
    let mut end = reason.len().min(CONTROL_BYTES - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = code.0.to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    frame(CLOSE, &payload)
}

/// A frame within a run of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// How many frames come before it.
    pub index: u64,
    /// Where its payload begins.
    pub payload: usize,
    pub end: usize,
}

/// The frame of `ours`, a run of a server's own frames, in which byte `at` lies; `None` at the end.
pub fn frame_at(ours: &[u8], at: usize) -> Option<Place> {
    let (mut start, mut index) = (0, 0);
    loop {
        let (head, length) = match ours.get(start + 1)? {
            126 => (4, u16::from_be_bytes(*ours.get(start + 2..)?.first_chunk()?) as usize),
            127 => (10, u64::from_be_bytes(*ours.get(start + 2..)?.first_chunk()?) as usize),
            length => (2, *length as usize),
        };
        let end = start + head + length;
        if at < end {
            return Some(Place { index, payload: start + head, end });
        }
        (start, index) = (end, index + 1);
    }
}

/// Puts together what a client says. It keeps nothing while nothing is half said.
pub struct Ear {
    most_bytes: usize,
    takes_binary: bool,
    unread: Vec<u8>,
    /// A message whose end has not come yet, and whether it is text.
    begun: Option<(bool, Vec<u8>)>,
}

impl Ear {
    /// Listens to messages of at most `most_bytes`, of text, or of bytes too.
    pub fn new(most_bytes: usize, takes_binary: bool) -> Ear {
        Ear { most_bytes, takes_binary, unread: Vec::new(), begun: None }
    }

    /// Takes in what was read. [`Ear::next`] is to be called until it has nothing before more is read: so no more is
    /// kept than a message and one reading.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// The next thing that was said; `None` until more has come.
    ///
    /// # Errors
    /// The fault to close with; nothing may be asked for afterwards.
    pub fn next(&mut self) -> Result<Option<Said>, Fault> {
        loop {
            let Some(head) = Head::read(&self.unread, self.most_bytes)? else {
                if self.unread.is_empty() {
                    self.unread = Vec::new();
                }
                return Ok(None);
            };
            let end = head.bytes + head.length;
            if self.unread.len() < end {
                return Ok(None);
            }
            let mut payload: Vec<u8> = self.unread.drain(..end).skip(head.bytes).collect();
            for (at, byte) in payload.iter_mut().enumerate() {
                *byte ^= head.mask[at % 4];
            }
            if let Some(said) = self.take(&head, payload)? {
                return Ok(Some(said));
            }
        }
    }

    fn take(&mut self, head: &Head, payload: Vec<u8>) -> Result<Option<Said>, Fault> {
        match head.opcode {
            PING => return Ok(Some(Said::Ping(payload))),
            PONG => return Ok(Some(Said::Pong)),
            CLOSE => return closing(&payload).map(|code| Some(Said::Close(code))),
            BINARY if !self.takes_binary => {
                return Err(Fault(Code::UNSUPPORTED, "only text is understood here"));
            }
            TEXT | BINARY if self.begun.is_some() => {
                return Err(Fault(Code::PROTOCOL, "a message begins before the one before it has ended"));
            }
            CONTINUATION if self.begun.is_none() => {
                return Err(Fault(Code::PROTOCOL, "a message goes on that did not begin"));
            }
            _ => {}
        }
        let (is_text, mut message) = self.begun.take().unwrap_or((head.opcode == TEXT, Vec::new()));
        if message.len() + payload.len() > self.most_bytes {
            return Err(TOO_LARGE);
        }
        if message.is_empty() {
            message = payload;
        } else {
            message.extend_from_slice(&payload);
        }
        if !head.is_last {
            self.begun = Some((is_text, message));
            return Ok(None);
        }
        if !is_text {
            return Ok(Some(Said::Binary(message)));
        }
        let text = String::from_utf8(message).map_err(|_| Fault(Code::NOT_UTF8, "a text is not UTF-8"))?;
        Ok(Some(Said::Text(text)))
    }
}

const TOO_LARGE: Fault = Fault(Code::TOO_LARGE, "the message is too large");

/// The code of a close frame (§5.5.1, §7.4).
fn closing(payload: &[u8]) -> Result<Code, Fault> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() {
            Ok(Code::NONE)
        } else {
            Err(Fault(Code::PROTOCOL, "half a close code"))
        };
    };
    let code = Code(u16::from_be_bytes(*code));
    if !code.may_be_sent() {
        return Err(Fault(Code::PROTOCOL, "there is no such close code"));
    }
    match std::str::from_utf8(reason) {
        Ok(_) => Ok(code),
        Err(_) => Err(Fault(Code::NOT_UTF8, "the reason for the close is not UTF-8")),
    }
}

/// The head of a client's frame.
struct Head {
    is_last: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Of the head itself.
    bytes: usize,
    length: usize,
}

impl Head {
    /// Reads a head once it is there whole, and refuses what may not come before it comes.
    fn read(bytes: &[u8], most_bytes: usize) -> Result<Option<Head>, Fault> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let (opcode, is_last) = (first & 0x0f, first & FIN != 0);
        if first & RESERVED != 0 {
            return Err(Fault(Code::PROTOCOL, "a reserved bit is set, and no extension was agreed on"));
        }
        if second & MASKED == 0 {
            return Err(Fault(Code::PROTOCOL, "a client's frames are masked"));
        }
        if !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
            return Err(Fault(Code::PROTOCOL, "there is no such kind of frame"));
        }
        let short = usize::from(second & 0x7f);
        if opcode >= CLOSE && (!is_last || short > CONTROL_BYTES) {
            return Err(Fault(Code::PROTOCOL, "a control frame is whole and at most 125 bytes long"));
        }
        let (length, rest, extended) = match short {
            126 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest, 2),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest, 8),
                None => return Ok(None),
            },
            short => (short as u64, rest, 0),
        };
        if matches!(short, 126 if length < 126) || matches!(short, 127 if length <= 0xffff) {
            return Err(Fault(Code::PROTOCOL, "a length is written in as few bytes as it can be"));
        }
        if length > most_bytes.max(CONTROL_BYTES) as u64 {
            return Err(TOO_LARGE);
        }
        let Some(mask) = rest.first_chunk() else { return Ok(None) };
        Ok(Some(Head { is_last, opcode, mask: *mask, bytes: 2 + extended + 4, length: length as usize }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's frame.
    fn said(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        push_head(&mut out, 0, payload.len());
        out[0] = first;
        out[1] |= MASKED;
        out.extend_from_slice(&[1, 2, 3, 4]);
        out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ [1, 2, 3, 4][at % 4]));
        out
    }

    fn heard(bytes: &[u8]) -> Result<Vec<Said>, Fault> {
        let (mut ear, mut all) = (Ear::new(1_000, false), Vec::new());
        ear.hear(bytes);
        while let Some(said) = ear.next()? {
            all.push(said);
        }
        Ok(all)
    }

    #[test]
    fn messages_are_put_together_wherever_a_reading_ends() {
        let long = "x".repeat(500);
        let bytes = [
            said(FIN | TEXT, b"hello"),
            said(TEXT, "gr\u{fc}".as_bytes()),
            said(FIN | PING, b"?"),
            said(FIN, "\u{df}e".as_bytes()),
            said(FIN | PONG, b""),
            said(FIN | TEXT, long.as_bytes()),
            said(FIN | CLOSE, b"\x03\xe8bye"),
        ]
        .concat();
        let expected = || {
            let text = |text: &str| Said::Text(text.into());
            vec![
                text("hello"),
                Said::Ping(b"?".to_vec()),
                text("gr\u{fc}\u{df}e"),
                Said::Pong,
                text(&long),
                Said::Close(Code::NORMAL),
            ]
        };
        assert_eq!(heard(&bytes).unwrap(), expected());
        let (mut ear, mut all) = (Ear::new(1_000, false), Vec::new());
        for byte in bytes {
            ear.hear(&[byte]);
            while let Some(said) = ear.next().unwrap() {
                all.push(said);
            }
        }
        assert_eq!(all, expected());
        assert_eq!(ear.unread.capacity(), 0, "nothing is kept of what was heard");
    }

    #[test]
    fn what_the_protocol_forbids_is_answered_with_its_code() {
        let unmasked = frame(TEXT, b"hello").to_vec();
        let twice = [said(TEXT, b"a"), said(FIN | TEXT, b"b")].concat();
        let much = [said(TEXT, &[b'x'; 600]), said(FIN, &[b'x'; 600])].concat();
        for (bytes, code) in [
            (unmasked, 1002),
            (said(FIN | 0x40 | TEXT, b""), 1002),
            (said(FIN | 0x3, b""), 1002),
            (said(PING, b""), 1002),
            (said(FIN | PING, &[0; 126]), 1002),
            (said(FIN, b"more"), 1002),
            (twice, 1002),
            (said(FIN | CLOSE, b"\x03"), 1002),
            (said(FIN | CLOSE, b"\x03\xed"), 1002),
            (said(FIN | CLOSE, b"\x03\xe8\xff"), 1007),
            (said(FIN | BINARY, b"x"), 1003),
            (said(FIN | TEXT, b"\xff"), 1007),
            (said(FIN | TEXT, &[b'x'; 1_001]), 1009),
            (vec![FIN | TEXT, 0xfe, 0, 1, 0, 0, 0, 0, b'x'], 1002),
            (vec![FIN | TEXT, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], 1002),
            (vec![FIN | TEXT, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 1009),
            (much, 1009),
        ] {
            assert_eq!(heard(&bytes).unwrap_err().0, Code(code), "{:?}", &bytes[..bytes.len().min(12)]);
        }
    }

    #[test]
    fn bytes_are_taken_where_they_are_understood() {
        let mut ear = Ear::new(1_000, true);
        for part in [said(BINARY, b"\xff"), said(FIN, b"\0"), said(FIN | TEXT, b"text")] {
            ear.hear(&part);
        }
        assert_eq!(ear.next(), Ok(Some(Said::Binary(b"\xff\0".to_vec()))));
        assert_eq!(ear.next(), Ok(Some(Said::Text("text".into()))));
        ear.hear(&[said(BINARY, b"a"), said(FIN | BINARY, b"b")].concat());
        assert_eq!(ear.next().unwrap_err().0, Code::PROTOCOL);
    }

    #[test]
    fn the_frame_at_a_byte_is_found() {
        let payloads = [0, 1, 125, 126, 70_000];
        let (mut run, mut bounds) = (Vec::new(), Vec::new());
        for length in payloads {
            let start = run.len();
            run.extend_from_slice(&frame(TEXT, &vec![b'x'; length]));
            bounds.push((start, start + head_bytes(length), run.len()));
        }
        for (index, (start, payload, end)) in bounds.into_iter().enumerate() {
            for at in [start, start + 1, end - 1] {
                assert_eq!(frame_at(&run, at), Some(Place { index: index as u64, payload, end }));
            }
        }
        assert_eq!(frame_at(&run, run.len()), None);
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let long = "\u{fc}".repeat(100);
        let whole = close(Code(4_008), &long);
        assert!(whole.len() <= 2 + CONTROL_BYTES);
        assert!(std::str::from_utf8(&whole[4..]).is_ok());
    }
}
