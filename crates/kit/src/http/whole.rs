//! Whole numbers of a body.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Number;
use std::borrow::Cow;

/// A whole number from 0 on, which JSON may write as `5.0` too: to a JSON Schema both are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Whole(pub u64);

impl JsonSchema for Whole {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        u64::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        u64::json_schema(generator)
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Whole, D::Error> {
        let number = Number::deserialize(deserializer)?;
        let as_float = || number.as_f64().filter(|n| n.fract() == 0.0 && (0.0..=1e15).contains(n));
        number
            .as_u64()
            .or_else(|| as_float().map(|n| n as u64))
            .map(Whole)
            .ok_or_else(|| D::Error::custom(format!("{number} is no whole number from 0 to {}", u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        let of = |text: &str| serde_json::from_str::<Whole>(text).ok();
        assert_eq!(["5", "5.0", "5e1", "0"].map(of), [5, 5, 50, 0].map(|n| Some(Whole(n))));
        assert_eq!(["5.5", "-1", "\"5\"", "1e300", "null"].map(of), [None; 5]);
    }
}
