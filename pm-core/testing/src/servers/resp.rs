//! As much of Redis' protocol as it takes to ask a server something.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Error(String),
    List(Vec<Answer>),
    Nil,
    Number(i64),
    Text(String),
}

/// Asks the server on `port` one question, on a connection of its own.
pub(crate) fn ask(port: u16, question: &[&str]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = format!("*{}\r\n", question.len());
    for word in question {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(request.as_bytes())?;
    read(&mut BufReader::new(stream))
}

fn read(stream: &mut impl BufRead) -> io::Result<Answer> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let (kind, rest) = line.trim_end().split_at_checked(1).ok_or_else(malformed)?;
    let number = || rest.parse::<i64>().map_err(|_| malformed());
    Ok(match kind {
        "+" => Answer::Text(rest.to_owned()),
        "-" => Answer::Error(rest.to_owned()),
        ":" => Answer::Number(number()?),
        "$" => match usize::try_from(number()?) {
            Ok(length) => {
                let mut bytes = vec![0; length + 2];
                stream.read_exact(&mut bytes)?;
                bytes.truncate(length);
                Answer::Text(String::from_utf8(bytes).map_err(|_| malformed())?)
            }
            Err(_) => Answer::Nil,
        },
        "*" => (0..number()?)
            .map(|_| read(stream))
            .collect::<io::Result<_>>()
            .map(Answer::List)?,
        _ => return Err(malformed()),
    })
}

fn malformed() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

/// Lists line by line.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(text) | Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Nil => Ok(()),
            Self::List(answers) => answers.iter().enumerate().try_for_each(|(index, answer)| {
                let separator = if index == 0 { "" } else { "\n" };
                write!(f, "{separator}{answer}")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_answer_is_read() {
        let mut bytes = &b"*5\r\n+OK\r\n:-7\r\n$4\r\na\r\nb\r\n$-1\r\n-ERR no\r\n"[..];
        let answer = read(&mut bytes).expect("well formed");
        assert_eq!(
            answer,
            Answer::List(vec![
                Answer::Text("OK".to_owned()),
                Answer::Number(-7),
                Answer::Text("a\r\nb".to_owned()),
                Answer::Nil,
                Answer::Error("ERR no".to_owned()),
            ])
        );
        assert_eq!(answer.to_string(), "OK\n-7\na\r\nb\n\nERR no");
        assert!(read(&mut &b""[..]).is_err());
    }
}
