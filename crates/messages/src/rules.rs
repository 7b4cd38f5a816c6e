//! What a message may be. Pure.

use angarium_base::{
    Error,
    error::Fault,
    json::{self, Limits, Reader},
};

angarium_base::codes! {
    /// The body, or a line of it, is not JSON. The detail names line and column.
    MALFORMED_MESSAGE = "malformed_message": Malformed;
    /// The message, or every message of the batch, is refused. `errors` (one message) or `rejected` (several) name each place.
    INVALID_MESSAGE = "invalid_message": Invalid;
    /// The message is larger than the server takes. The detail names the limit.
    MESSAGE_TOO_LARGE = "message_too_large": TooLarge;
    /// The batch has more messages than a request may have. Send several batches.
    TOO_MANY_MESSAGES = "too_many_messages": TooLarge;
    /// The document is no JSON Schema that can be used here. The detail says why.
    INVALID_SCHEMA = "invalid_schema": Invalid;
}

/// Nesting levels, and members of one object or elements of one array.
pub const JSON_LIMITS: Limits = Limits { depth: 64, members: 100_000 };
/// Messages of one request.
pub const MAX_MESSAGES: usize = 100_000;
/// Faults of one message that are told.
pub const MAX_FAULTS: usize = 20;

/// Why one message is refused.
pub enum Refused {
    /// It is not JSON.
    Malformed(String),
    /// It is, and not one that is taken.
    Invalid(Vec<Fault>),
}

impl Refused {
    /// As one of the faults of a batch.
    pub fn into_fault(self) -> Fault {
        match self {
            Refused::Malformed(detail) => Fault { pointer: String::new(), code: "malformed_message", detail },
            Refused::Invalid(mut faults) => faults.swap_remove(0),
        }
    }

    /// As what the whole request is answered with.
    pub fn into_error(self) -> Error {
        match self {
            Refused::Malformed(detail) => MALFORMED_MESSAGE.err(detail),
            Refused::Invalid(faults) => {
                let too_large = faults[0].code == MESSAGE_TOO_LARGE.name;
                let code = if too_large { MESSAGE_TOO_LARGE } else { INVALID_MESSAGE };
                code.err(format!("the message was refused: {}", faults[0].detail)).with_faults(faults)
            }
        }
    }
}

/// Reads one document that is all of `bytes`; `line` is its place among several.
///
/// # Errors
/// What is wrong with it, and where.
pub fn read(bytes: &[u8], most_bytes: usize, line: Option<usize>) -> Result<&str, Refused> {
    let place = |syntax_line: usize, column: usize| match line {
        Some(line) => format!("line {}, column {column}", line + 1),
        None => format!("line {syntax_line}, column {column}"),
    };
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let good = String::from_utf8_lossy(&bytes[..e.valid_up_to()]);
        let (line, column) = json::position(&good, good.len());
        Refused::Malformed(format!("invalid UTF-8 at {}", place(line, column)))
    })?;
    let mut reader = Reader::new(text, JSON_LIMITS);
    let value = reader.value().and_then(|value| reader.end().map(|()| value)).map_err(|syntax| {
        let hint = match (line, syntax.what) {
            (None, "trailing characters") => {
                "; to send one message a line, say `Content-Type: application/x-ndjson`"
            }
            _ => "",
        };
        Refused::Malformed(format!("{} at {}{hint}", syntax.what, place(syntax.line, syntax.column)))
    })?;
    if let Some(flaw) = value.flaw {
        return Err(Refused::Invalid(vec![Fault {
            pointer: flaw.pointer,
            code: flaw.code,
            detail: flaw.detail,
        }]));
    }
    if value.text.len() > most_bytes {
        let detail = format!("a message may have {most_bytes} bytes; this one has {}", value.text.len());
        return Err(Refused::Invalid(vec![Fault {
            pointer: String::new(),
            code: MESSAGE_TOO_LARGE.name,
            detail,
        }]));
    }
    Ok(value.text)
}

/// Writes a checked document as one line: outside of strings, where JSON has no line ends, they are white space.
pub fn push_line(out: &mut String, document: &str) {
    if !document.contains(['\n', '\r']) {
        return out.push_str(document);
    }
    out.extend(document.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_json_document_is_a_message() {
        for text in ["{}", "[]", "null", "3.5", "\"x\"", " {\"a\": [1, 2, {\"b\": null}]} "] {
            assert_eq!(read(text.as_bytes(), 100, None).ok(), Some(text.trim()), "{text}");
        }
    }

    #[test]
    fn what_is_refused_names_its_place() {
        let refused = |bytes: &[u8], line| match read(bytes, 20, line) {
            Ok(_) => panic!("it was taken"),
            Err(Refused::Malformed(detail)) => detail,
            Err(Refused::Invalid(faults)) => format!("{} {}", faults[0].code, faults[0].pointer),
        };
        assert!(refused(b"{\n\"a\":}", None).ends_with("line 2, column 5"));
        assert!(refused(b"{\"a\":}", Some(6)).ends_with("line 7, column 6"));
        assert!(refused(b"{} {}", None).contains("ndjson"));
        assert!(refused(b"\"\xff\"", None).contains("UTF-8"));
        assert_eq!(refused(b"{\"a\":{\"b\":1,\"b\":2}}", None), "duplicate_key /a/b");
        assert_eq!(refused(b"\"01234567890123456789\"", None), "message_too_large ");
    }

    #[test]
    fn a_document_is_kept_as_one_line() {
        let mut out = String::new();
        push_line(&mut out, "{\r\n  \"a\": \"x\\ny\"\n}");
        assert_eq!(out, "{    \"a\": \"x\\ny\" }");
    }
}
