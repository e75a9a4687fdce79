use redis::Value;

use super::Error;

/// What the server answered, in the shapes of protocol version 2 whichever is spoken: maps are
/// lists of key, value, key, value, and so on; statuses and floating-point numbers are bytes;
/// booleans are 0 and 1.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// Text or binary data; also a status such as `OK`.
    Bytes(Vec<u8>),
    /// A number.
    Integer(i64),
    /// Several answers.
    List(Vec<Reply>),
    /// Nothing, such as the value of a key that does not exist.
    Nil,
}

impl Reply {
    /// The bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`] if it is something else.
    pub fn bytes(self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Error::Unexpected),
        }
    }

    /// The number.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`] if it is something else.
    pub fn integer(self) -> Result<i64, Error> {
        match self {
            Self::Integer(number) => Ok(number),
            _ => Err(Error::Unexpected),
        }
    }

    /// The answers in the list.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`] if it is something else.
    pub fn list(self) -> Result<Vec<Self>, Error> {
        match self {
            Self::List(replies) => Ok(replies),
            _ => Err(Error::Unexpected),
        }
    }

    /// The answer, if there is one.
    #[must_use]
    pub fn some(self) -> Option<Self> {
        match self {
            Self::Nil => None,
            reply => Some(reply),
        }
    }

    pub(super) fn from_value(value: Value) -> Result<Self, Error> {
        let list = |values: Vec<Value>| {
            let replies: Result<_, _> = values.into_iter().map(Self::from_value).collect();
            replies.map(Self::List)
        };
        match value {
            Value::Nil => Ok(Self::Nil),
            Value::Int(number) => Ok(Self::Integer(number)),
            Value::Boolean(is) => Ok(Self::Integer(i64::from(is))),
            Value::BulkString(bytes) => Ok(Self::Bytes(bytes)),
            Value::SimpleString(text) | Value::VerbatimString { text, .. } => {
                Ok(Self::Bytes(text.into_bytes()))
            }
            Value::Okay => Ok(Self::Bytes(b"OK".to_vec())),
            Value::Double(number) => Ok(Self::Bytes(number.to_string().into_bytes())),
            Value::Array(values) | Value::Set(values) | Value::Push { data: values, .. } => {
                list(values)
            }
            Value::Map(pairs) => list(
                pairs
                    .into_iter()
                    .flat_map(|(key, value)| [key, value])
                    .collect(),
            ),
            Value::Attribute { data, .. } => Self::from_value(*data),
            // Big numbers, whose type depends on a feature of the client, and what is new.
            _ => Err(Error::Unexpected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shapes_are_those_of_version_2() {
        let bytes = |text: &str| Reply::Bytes(text.as_bytes().to_vec());
        let cases = [
            (Value::Okay, bytes("OK")),
            (Value::Double(0.5), bytes("0.5")),
            (Value::Boolean(true), Reply::Integer(1)),
            (
                Value::Map(vec![(Value::SimpleString("k".to_owned()), Value::Int(1))]),
                Reply::List(vec![bytes("k"), Reply::Integer(1)]),
            ),
            (Value::Set(vec![Value::Nil]), Reply::List(vec![Reply::Nil])),
        ];
        for (value, reply) in cases {
            assert_eq!(Reply::from_value(value).ok(), Some(reply));
        }
    }

    #[test]
    fn another_shape_is_an_error_and_nothing_is_none() {
        assert!(matches!(Reply::Nil.integer(), Err(Error::Unexpected)));
        assert!(matches!(Reply::Integer(1).bytes(), Err(Error::Unexpected)));
        assert!(matches!(Reply::Integer(1).list(), Err(Error::Unexpected)));
        assert_eq!(Reply::Nil.some(), None);
        assert_eq!(Reply::Integer(1).some(), Some(Reply::Integer(1)));
    }
}
