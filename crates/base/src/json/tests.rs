//! What the checker takes and refuses, against tables and against serde_json.

use super::*;
use proptest::prelude::*;
use serde_json::Value;
use std::fmt::Write;

const LIMITS: Limits = Limits { depth: 8, members: 100 };

fn read(text: &str) -> Result<Raw<'_>, Syntax> {
    let mut reader = Reader::new(text, LIMITS);
    let raw = reader.value()?;
    reader.end()?;
    Ok(raw)
}

fn flaw(text: &str) -> Flaw {
    *read(text).unwrap().flaw.unwrap_or_else(|| panic!("no flaw in {text}"))
}

#[test]
fn what_is_json_is_given_out_as_it_stands() {
    let table = [
        ("null", Kind::Null),
        (" true ", Kind::Bool),
        ("\r\n\tfalse", Kind::Bool),
        ("0", Kind::Number),
        ("-0", Kind::Number),
        ("-0.0e-0", Kind::Number),
        ("1E+3", Kind::Number),
        ("9007199254740993", Kind::Number),
        ("123456789012345678901234567890", Kind::Number),
        ("1e-9999", Kind::Number),
        ("1.7976931348623157e308", Kind::Number),
        (r#""""#, Kind::String),
        ("\"\u{7f}\u{2028}é😀\"", Kind::String),
        (r#""\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00""#, Kind::String),
        ("[]", Kind::Array),
        ("[ ]", Kind::Array),
        ("[[[[[[[[]]]]]]]]", Kind::Array),
        ("[1 , \"a\" ,[ ],{ } , null]", Kind::Array),
        ("{}", Kind::Object),
        (r#"{"same end 1 same end":1,"same end \u0032 same end":2,"same end 3 same end":3}"#, Kind::Object),
        (r#" { "" : 1 , "a" : { "a" : [ { } ] } , "b" : { "a" : 2 } } "#, Kind::Object),
    ];
    for (text, kind) in table {
        let raw = read(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        assert_eq!((raw.text, raw.kind, raw.flaw), (text.trim_ascii(), kind, None));
        assert_eq!(Reader::new(text, LIMITS).peek(), Some(kind));
    }
}

#[test]
fn what_is_not_json_is_refused_where_it_stops_being_json() {
    let table = [
        ("", "unexpected end of input", 1, 1),
        (" \n ", "unexpected end of input", 2, 2),
        ("\u{feff}{}", "a byte order mark is not JSON", 1, 1),
        ("NaN", "NaN is not JSON", 1, 1),
        ("[Infinity]", "Infinity is not JSON", 1, 2),
        ("[-Infinity]", "Infinity is not JSON", 1, 3),
        ("'a'", "a string must be in `\"`", 1, 1),
        ("[1, // one\n2]", "a comment is not JSON", 1, 5),
        ("undefined", "expected a value", 1, 1),
        ("True", "expected a value", 1, 1),
        ("tru", "unexpected end of input", 1, 4),
        ("nul]", "expected `null`", 1, 1),
        ("fals\u{e9}", "expected `false`", 1, 1),
        ("truefalse", "trailing characters", 1, 5),
        ("{} {}", "trailing characters", 1, 4),
        ("01", "a number has no leading zeros", 1, 2),
        ("-01", "a number has no leading zeros", 1, 3),
        ("-", "unexpected end of input", 1, 2),
        ("-a", "expected a digit", 1, 2),
        ("+1", "expected a value", 1, 1),
        (".5", "expected a value", 1, 1),
        ("[1.]", "expected a digit", 1, 4),
        ("1.", "unexpected end of input", 1, 3),
        ("[1e]", "expected a digit", 1, 4),
        ("1e+", "unexpected end of input", 1, 4),
        ("0x10", "trailing characters", 1, 2),
        ("\"é😀\u{0}\"", "a control character must be escaped", 1, 4),
        ("\"1234567\n\"", "a control character must be escaped", 1, 9),
        ("\"\\n\u{1f}\"", "a control character must be escaped", 1, 4),
        ("\"abc", "unexpected end of input", 1, 5),
        ("\"abc\\", "unexpected end of input", 1, 6),
        (r#""\x""#, "unknown escape", 1, 3),
        (r#""\é""#, "unknown escape", 1, 3),
        (r#""\u12"#, "unexpected end of input", 1, 6),
        (r#""\u12" "#, "expected four hexadecimal digits", 1, 6),
        (r#""\u00+1""#, "expected four hexadecimal digits", 1, 6),
        (r#""\ud800\ude0g""#, "expected four hexadecimal digits", 1, 13),
        ("[", "unexpected end of input", 1, 2),
        ("[1", "unexpected end of input", 1, 3),
        ("[1,", "unexpected end of input", 1, 4),
        ("[1,]", "expected a value", 1, 4),
        ("[,1]", "expected a value", 1, 2),
        ("[1 2]", "expected `,` or `]`", 1, 4),
        ("[1}", "expected `,` or `]`", 1, 3),
        ("[{]}", "expected a key in `\"`, or `}`", 1, 3),
        ("{a:1}", "expected a key in `\"`, or `}`", 1, 2),
        ("{,}", "expected a key in `\"`, or `}`", 1, 2),
        ("{\n  \"é\": 1,\n}", "expected a key in `\"`", 3, 1),
        ("{\"é\" 1}", "expected `:`", 1, 6),
        ("{\"a\":}", "expected a value", 1, 6),
        ("{\"a\":1 \"b\":2}", "expected `,` or `}`", 1, 8),
        ("{\"a\":[1],\r\n\"b\":[}", "expected a value", 2, 6),
        ("{\"a\"", "unexpected end of input", 1, 5),
        ("{\"a\":1", "unexpected end of input", 1, 7),
        ("1\u{a0}", "trailing characters", 1, 2),
    ];
    for (text, what, line, column) in table {
        let Err(fault) = read(text) else { panic!("accepted {text:?}") };
        assert_eq!((fault.what, fault.line, fault.column), (what, line, column), "{text:?}");
        assert_eq!(position(text, fault.offset), (line, column), "{text:?}");
        assert!(serde_json::from_str::<Value>(text).is_err(), "{text:?}");
    }
}

#[test]
fn what_is_json_and_refused_is_named_by_code_and_pointer() {
    let huge = format!("[0, -{}]", "9".repeat(309));
    let long = format!("{{\"n\": 0.1{}}}", "0".repeat(400));
    let table = [
        ("[[[[[[[[[]]]]]]]]]", "too_deep", "/0/0/0/0/0/0/0/0"),
        (r#"[1,{"a":[[[[[[2,{"b":"\u0000"}]]]]]]}]"#, "too_deep", "/1/a/0/0/0/0/0/1"),
        (r#"{"a":1,"b":2,"a":3}"#, "duplicate_key", "/a"),
        (r#"{"a":1,"\u0061":2}"#, "duplicate_key", "/a"),
        (r#"{"\u0061":1,"a":2}"#, "duplicate_key", "/a"),
        (r#"{"":1 , "" : 2}"#, "duplicate_key", "/"),
        (r#"[0,[],{"x":{"b":1},"y~/é\n":[{"c":1},{"k/":1,"k/":2}]}]"#, "duplicate_key", "/2/y~0~1é\n/1/k~1"),
        (r#"[",:[{\"",":",{"a":1,"b":{"a":1},"a":1}]"#, "duplicate_key", "/2/a"),
        (
            r#"{"longer than eight":1,"longer than nine":2,"longer than eight":3}"#,
            "duplicate_key",
            "/longer than eight",
        ),
        // Equal in length and at both ends, so that only the keys in full tell them apart.
        (
            r#"{"same end 1 same end":1,"same end 2 same end":2,"same end 1 same end":3}"#,
            "duplicate_key",
            "/same end 1 same end",
        ),
        (
            r#"{"same end 1 same end":1,"same end 2 same end":2,"same end \u0032 same end":3}"#,
            "duplicate_key",
            "/same end 2 same end",
        ),
        (r#"["\ud83d"]"#, "lone_surrogate", "/0"),
        (r#"["\ude00\ud83d"]"#, "lone_surrogate", "/0"),
        (r#"["ok \ud83d\ude00","\ud83d\ud83d\ude00"]"#, "lone_surrogate", "/1"),
        (r#"{"a":"\ud83d\n"}"#, "lone_surrogate", "/a"),
        (r#""\udfff""#, "lone_surrogate", ""),
        (r#"{"a":[{"x":1,"\udbff":2}]}"#, "lone_surrogate", "/a/0"),
        (r#"{"a":"\u0000"}"#, "nul_character", "/a"),
        (r#"{"\u0000":1}"#, "nul_character", ""),
        (r#"{"a":"\\u0000","b":"x\\\u0000"}"#, "nul_character", "/b"),
        ("1e309", "number_out_of_range", ""),
        ("[-1E400]", "number_out_of_range", "/0"),
        ("[1.7976931348623159e308]", "number_out_of_range", "/0"),
        (&huge, "number_out_of_range", "/1"),
        (&long, "number_out_of_range", "/n"),
        (r#"{"a":{"b":1,"b":2},"c":"\u0000"}"#, "duplicate_key", "/a/b"),
    ];
    for (text, code, pointer) in table {
        let flaw = flaw(text);
        assert_eq!((flaw.code, flaw.pointer.as_str()), (code, pointer), "{text}");
        assert!(!flaw.detail.is_empty());
        assert_eq!(read(text).unwrap().text, text);
    }
}

#[test]
fn members_and_elements_are_counted() {
    let array = |n: usize| format!("[[],{:?}]", vec![0; n]);
    let object = |n: usize| {
        let members: Vec<_> = (0..n).map(|n| format!("\"key {n}\":{{\"key 0\":[]}}")).collect();
        format!("{{\"o\":{{{}}}}}", members.join(","))
    };
    assert_eq!(read(&array(100)).unwrap().flaw, None);
    assert_eq!(read(&object(100)).unwrap().flaw, None);
    for (text, pointer) in
        [(array(101), "/1"), (array(1_000), "/1"), (object(101), "/o"), (object(1_000), "/o")]
    {
        let flaw = flaw(&text);
        assert_eq!((flaw.code, flaw.pointer.as_str()), ("too_many_members", pointer));
        assert!(flaw.detail.contains("more than 100"), "{}", flaw.detail);
    }
}

#[test]
fn a_duplicate_is_found_at_every_size_and_a_deeper_object_does_not_hide_it() {
    for n in 2..80 {
        let mut text = String::from("{");
        for key in (0..n).chain([n / 2]) {
            write!(text, "\"k{key}\":{{\"\":{{\"k1\":1}},\"k{key}\":2}},").unwrap();
        }
        text.pop();
        text.push('}');
        assert_eq!(flaw(&text).pointer, format!("/k{}", n / 2));
    }
}

#[test]
fn a_hundred_thousand_keys_do_not_cost_quadratic_time() {
    let members: Vec<_> = (0..100_000).map(|n| format!("\"the same start {n:08} the same end\":0")).collect();
    let text = format!("{{{}}}", members.join(","));
    let wide = Limits { depth: 1, members: 100_000 };
    assert_eq!(Reader::new(&text, wide).value().unwrap().flaw, None);
    let twice = format!("{{{},{}}}", members.join(","), members[77]);
    let flaw = Reader::new(&twice, Limits { members: 100_001, ..wide }).value().unwrap().flaw.unwrap();
    assert_eq!(flaw.pointer, "/the same start 00000077 the same end");
    let mut count = 0;
    let own = Reader::new(&twice, LIMITS).object(|_, _| count += 1).unwrap().unwrap();
    assert_eq!((own.code, count), ("too_many_members", 100_001));
}

#[test]
fn a_million_levels_do_not_overflow_the_stack() {
    let deep = 1_000_000;
    let arrays = "[".repeat(deep) + &"]".repeat(deep);
    assert_eq!(flaw(&arrays).pointer, "/0".repeat(8));
    let objects = "{\"a\":".repeat(deep) + "1" + &"}".repeat(deep);
    assert_eq!(flaw(&objects).pointer, "/a".repeat(8));
    let mixed = "[1,{\"a\":2,\"b\":".repeat(deep) + "[]" + &",\"c\":3},4]".repeat(deep);
    assert_eq!((flaw(&mixed).code, flaw(&mixed).pointer.as_str()), ("too_deep", "/1/b/1/b/1/b/1/b"));
    let limits = Limits { depth: usize::MAX, members: 8 };
    assert_eq!(Reader::new(&mixed, limits).value().unwrap().flaw, None);

    assert_eq!(read(&arrays[..arrays.len() - 1]).unwrap_err().what, "unexpected end of input");
    assert_eq!(read(&(arrays.clone() + "]")).unwrap_err().what, "trailing characters");
    let crossed = "[".repeat(deep) + "}" + &"]".repeat(deep);
    assert_eq!(read(&crossed).unwrap_err().offset, deep);
}

#[test]
fn one_bad_item_costs_only_itself() {
    let text = r#"[{"a":1}, {"a":1,"a":2}, [[[[[[[[[]]]]]]]]] ,"\ud800", 1e999, {"a":2}]"#;
    let mut reader = Reader::new(text, LIMITS);
    let mut codes = Vec::new();
    reader
        .array(|reader| {
            codes.push(reader.value()?.flaw.map(|flaw| flaw.code));
            Ok(())
        })
        .unwrap();
    reader.end().unwrap();
    let wanted = ["duplicate_key", "too_deep", "lone_surrogate", "number_out_of_range"].map(Some);
    assert_eq!(codes, [&[None], &wanted[..], &[None]].concat());
}

#[test]
fn an_object_gives_each_member_and_its_own_flaw() {
    let text = r#" {"a": "x\n", "\u0061\ud800": {"k":1,"k":2}, "b" : true, "b":[1, 2] } "#;
    let mut reader = Reader::new(text, LIMITS);
    assert_eq!((reader.peek(), reader.offset()), (Some(Kind::Object), 1));
    let mut seen = Vec::new();
    let own = reader
        .object(|key, raw| {
            let flaw = raw.flaw.as_ref().map(|flaw| flaw.pointer.clone());
            seen.push((key.into_owned(), raw.text, raw.string(), raw.truth(), flaw));
        })
        .unwrap()
        .unwrap();
    assert_eq!((own.code, own.pointer.as_str()), ("lone_surrogate", ""));
    assert_eq!(
        seen,
        [
            ("a".into(), r#""x\n""#, Some("x\n".into()), None, None),
            ("a\u{fffd}".into(), r#"{"k":1,"k":2}"#, None, None, Some("/k".into())),
            ("b".into(), "true", None, Some(true), None),
            ("b".into(), "[1, 2]", None, None, None),
        ]
    );
    reader.end().unwrap();

    let own = Reader::new(r#"{"k":{"k":0},"x":{},"k":1}"#, LIMITS).object(|_, _| ()).unwrap().unwrap();
    assert_eq!((own.code, own.pointer.as_str()), ("duplicate_key", "/k"));
    assert_eq!(Reader::new("{}", LIMITS).object(|_, _| panic!("no member")).unwrap(), None);
    assert_eq!(Reader::new("[]", LIMITS).object(|_, _| ()).unwrap_err().what, "expected `{`");
    assert_eq!(Reader::new("{}", LIMITS).array(|_| Ok(())).unwrap_err().what, "expected `[`");
    assert_eq!(
        Reader::new("{\"a\":1,", LIMITS).object(|_, _| ()).unwrap_err().what,
        "unexpected end of input"
    );
}

#[test]
fn objects_nest_in_arrays_that_are_entered() {
    let mut reader = Reader::new(r#"[{"a":{"a":1}}, [{"a":2,"a":3}], {"a":4}]"#, LIMITS);
    let (mut keys, mut flaws) = (0, 0);
    reader
        .array(|reader| match reader.peek() {
            Some(Kind::Array) => reader.array(|reader| {
                flaws += usize::from(reader.object(|_, _| keys += 1)?.is_some());
                Ok(())
            }),
            _ => {
                assert_eq!(reader.object(|_, _| keys += 1)?, None);
                Ok(())
            }
        })
        .unwrap();
    assert_eq!((keys, flaws), (4, 1));
}

#[test]
fn nothing_starts_where_no_value_can() {
    for text in ["", "  ", "]", ",", "x", "\u{feff}1", "é"] {
        assert_eq!(Reader::new(text, LIMITS).peek(), None, "{text:?}");
    }
}

#[test]
fn every_byte_ends_plain_text_or_not_at_every_place() {
    for byte in 0..128u8 {
        for at in 0..20 {
            let mut bytes = ("é".repeat(6) + "        ").into_bytes();
            bytes[at] = byte;
            let stops = byte < 0x20 || byte == b'"' || byte == b'\\';
            assert_eq!(text::plain_end(&bytes, 0), if stops { at } else { 20 }, "{byte} at {at}");
        }
    }
}

/// Any JSON that has none of our flaws, nested less than the limit.
fn sound_json() -> impl Strategy<Value = Value> {
    let string = prop_oneof!["[a-z]{0,12}", "[ -~]{0,20}", "\\PC{0,10}", "[\u{1}-\u{2f}\\\\\"é😀]{0,24}"];
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        string.clone().prop_map(Value::from),
    ];
    scalar.prop_recursive(6, 60, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(string.clone(), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The pointers to all that holds nothing else: at least one.
fn leaves(value: &Value, at: &str, out: &mut Vec<String>) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(index, item)| leaves(item, &format!("{at}/{index}"), out));
        }
        Value::Object(members) if !members.is_empty() => members.iter().for_each(|(key, item)| {
            leaves(item, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), out);
        }),
        _ => out.push(at.to_owned()),
    }
}

/// What the reader and serde_json must agree on, whatever the text is.
fn agrees_with_serde(text: &str) {
    let theirs = serde_json::from_str::<Value>(text);
    match read(text) {
        Err(fault) => assert!(theirs.is_err(), "{fault} in {text:?}"),
        Ok(Raw { flaw: None, .. }) => assert!(theirs.is_ok(), "accepted {text:?}"),
        // Refused by us as well; serde_json may take it.
        Ok(_) => {}
    }
}

/// Pieces of string bodies, sound and not.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~é😀]{0,9}".prop_map(|text| text.replace(['"', '\\'], "")),
        "\\\\[\"\\\\/bfnrtux]",
        any::<u16>().prop_map(|unit| format!("\\u{unit:04x}")),
        (0xD7F0..0xE010u16).prop_map(|unit| format!("\\u{unit:04X}")),
        (0xD800..0xDC00u16, 0xDC00..0xE000u16).prop_map(|(high, low)| format!("\\u{high:04x}\\u{low:04X}")),
    ]
}

proptest! {
    #[test]
    fn whatever_serde_prints_is_accepted_and_given_back(value in sound_json()) {
        let compact = serde_json::to_string(&value).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        for text in [&compact, &pretty, &format!("\n {pretty}\t\r\n")] {
            let raw = read(text).unwrap();
            prop_assert_eq!(raw.text, text.trim_ascii());
            prop_assert_eq!(raw.flaw, None);
        }
    }

    #[test]
    fn a_flaw_is_named_where_serde_finds_it(mut value in sound_json(), pick in any::<prop::sample::Index>()) {
        let mut places = Vec::new();
        leaves(&value, "", &mut places);
        let pointer = pick.get(&places);
        *value.pointer_mut(pointer).unwrap() = Value::from("a\0b");
        let flaw = flaw(&serde_json::to_string_pretty(&value).unwrap());
        prop_assert_eq!(flaw.code, "nul_character");
        prop_assert_eq!(&flaw.pointer, pointer);
    }

    #[test]
    fn mutated_text_is_judged_as_serde_judges_it(
        value in sound_json(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..4),
    ) {
        let mut bytes = serde_json::to_vec(&value).unwrap();
        for (at, byte, how) in edits {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes[at] = b"{}[]:,\"\\0-.eE u\n"[usize::from(byte) % 16],
                2 => bytes.insert(at, b"{}[]:,\"\\0-.eE u\n"[usize::from(byte) % 16]),
                _ => bytes.truncate(at.max(1)),
            }
        }
        agrees_with_serde(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn soup_of_tokens_is_judged_as_serde_judges_it(text in "([\\[\\]{},: ]|\"a\"|\"b\":|[0-9.eE+-]{1,4}|true|null){0,12}") {
        agrees_with_serde(&text);
    }

    #[test]
    fn strings_unescape_as_serde_does(pieces in prop::collection::vec(piece(), 0..8)) {
        let text = format!("\"{}\"", pieces.concat());
        agrees_with_serde(&text);
        let theirs = serde_json::from_str::<String>(&text).ok().filter(|text| !text.contains('\0'));
        let ours = read(&text).ok().and_then(|raw| raw.string().map(Cow::into_owned));
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn strings_are_escaped_as_serde_does(text in "[\u{0}-\u{2f}\\\\\"a-zé😀\u{7f}]{0,40}") {
        let mut out = String::from("before ");
        escape_into(&mut out, &text);
        prop_assert_eq!(out, format!("before {}", serde_json::to_string(&text).unwrap()));
    }
}
