use super::{Command, Connection, Error};

/// `pm:probe:0` is in the first sixteenth of a cluster's slots, `pm:probe:11` in the second, and
/// so on.
const KEYS: [u8; 16] = [0, 11, 42, 60, 1, 10, 43, 61, 2, 13, 40, 62, 3, 12, 41, 63];

/// Whether the server takes writes; in a cluster, whether every part of it does.
///
/// A ping would pass on a replica that nobody has promoted, on a primary without the replicas that
/// it needs, and on one that cannot save. A deletion is refused there, even of a key that does not
/// exist, and writes nothing elsewhere.
pub(super) async fn writes(connection: Connection, everywhere: bool) -> Result<(), Error> {
    let keys = if everywhere { &KEYS[..] } else { &KEYS[..1] };
    for number in keys {
        let command = Command::new("DEL").arg(format!("pm:probe:{number}"));
        match connection.call(&command).await {
            // Whoever may not touch this key is answered, and that is all that can be found out.
            Err(Error::Response(reply)) if reply.code() == "NOPERM" => {}
            answer => drop(answer?),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CRC-16/XMODEM, by which a cluster maps a key to one of its 16,384 slots.
    fn slot(key: &str) -> u16 {
        let crc = key.bytes().fold(0u16, |crc, byte| {
            (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
                crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 }
            })
        });
        crc % 16_384
    }

    #[test]
    fn there_is_a_key_in_each_sixteenth_of_the_slots() {
        assert_eq!(slot("123456789"), 0x31c3);
        for (sixteenth, number) in KEYS.iter().enumerate() {
            let slot = slot(&format!("pm:probe:{number}"));
            assert_eq!(usize::from(slot / 1_024), sixteenth);
        }
    }
}
