//! Instants as text: RFC 3339, UTC, milliseconds.

use crate::clock::Millis;
use jiff::{Timestamp, fmt::temporal::DateTimePrinter};

/// `0000-01-01T00:00:00.000Z`.
const YEAR_0: Millis = -62_167_219_200_000;
const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

/// `2015-05-17T10:05:03.000Z`. An instant outside of the years that RFC 3339 knows is shown as the nearest one.
pub fn format(at: Millis) -> String {
    let mut out = String::with_capacity(24);
    push(&mut out, at);
    out
}

/// Appends what [`format`] returns.
pub fn push(out: &mut String, at: Millis) {
    let at = Timestamp::from_millisecond(at).unwrap_or(if at < 0 {
        Timestamp::UNIX_EPOCH
    } else {
        Timestamp::MAX
    });
    // Printing into a String cannot fail.
    let _ = PRINTER.print_timestamp(&at, out);
}

/// Reads an RFC 3339 instant with any offset; `None` if it is not one. Fractions below a millisecond are cut off.
pub fn parse(text: &str) -> Option<Millis> {
    let at = text.parse::<Timestamp>().ok()?.as_millisecond();
    // Years have four digits there; the parser knows others.
    (at >= YEAR_0).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_survives_being_written_and_read() {
        for at in [0, 1_431_857_103_000, 1_700_000_000_123] {
            assert_eq!(parse(&format(at)), Some(at));
        }
        assert_eq!(format(1_431_857_103_000), "2015-05-17T10:05:03.000Z");
        assert_eq!(parse("2015-05-17T12:05:03+02:00"), Some(1_431_857_103_000));
        assert_eq!(parse("yesterday"), None);
        assert_eq!(parse("0000-01-01T00:00:00Z").map(format).as_deref(), Some("0000-01-01T00:00:00.000Z"));
        assert_eq!(parse("-000044-03-15T12:00:00Z"), None);
    }
}
