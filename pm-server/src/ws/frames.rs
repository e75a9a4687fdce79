use bytes::{Buf, Bytes};
use prost::{
    Message,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};

use crate::r#gen as pb;

/// The frames of a packet, decoded one at a time.
///
/// Decoding the packet as a whole would let a message of two-byte frames grow a hundredfold in
/// memory before the first of them is looked at.
///
/// A packet without frames is one empty frame: it has to be looked at, too, and nothing is free.
#[derive(Debug, Default)]
pub struct Frames {
    rest: Bytes,
    /// Whether no frame was found yet, and one has to be.
    owes: bool,
}

impl Frames {
    /// The frames of an encoded `pm.v1.ClientPacket`.
    #[must_use]
    pub fn of(packet: Bytes) -> Self {
        Self {
            rest: packet,
            owes: true,
        }
    }

    /// Whether there are none left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty() && !self.owes
    }

    fn decode_next(&mut self) -> Result<Option<pb::ClientFrame>, Malformed> {
        const FRAMES: u32 = 1;
        while self.rest.has_remaining() {
            let (tag, wire_type) = decode_key(&mut self.rest).map_err(|_| Malformed)?;
            if tag != FRAMES {
                let context = DecodeContext::default();
                skip_field(wire_type, tag, &mut self.rest, context).map_err(|_| Malformed)?;
                continue;
            }
            if wire_type != WireType::LengthDelimited {
                return Err(Malformed);
            }
            let length = decode_varint(&mut self.rest).map_err(|_| Malformed)?;
            let length = usize::try_from(length)
                .ok()
                .filter(|length| *length <= self.rest.len());
            let frame = self.rest.split_to(length.ok_or(Malformed)?);
            self.owes = false;
            return pb::ClientFrame::decode(frame)
                .map(Some)
                .map_err(|_| Malformed);
        }
        let owed = std::mem::take(&mut self.owes);
        Ok(owed.then(pb::ClientFrame::default))
    }
}

/// What was sent is not a packet of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is not a packet of pm.v1 frames")]
pub struct Malformed;

impl Iterator for Frames {
    type Item = Result<pb::ClientFrame, Malformed>;

    /// After an error there is nothing left.
    fn next(&mut self) -> Option<Self::Item> {
        let next = self.decode_next();
        if next.is_err() {
            *self = Self::default();
        }
        next.transpose()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pong(id: u32) -> pb::ClientFrame {
        pb::ClientFrame {
            id,
            body: Some(pb::client_frame::Body::Pong(pb::Pong {})),
        }
    }

    #[test]
    fn packets_end_to_end_are_a_packet() {
        let one = pb::ClientPacket {
            frames: vec![pong(1), pong(2)],
        }
        .encode_to_vec();
        let other = pb::ClientPacket {
            frames: vec![pong(3)],
        }
        .encode_to_vec();
        let both = Bytes::from([one, other].concat());
        let whole = pb::ClientPacket::decode(both.clone()).unwrap();
        let found: Vec<_> = Frames::of(both).map(Result::unwrap).collect();
        assert_eq!(found, whole.frames);
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn a_frame_that_is_cut_off_is_an_error_and_the_last() {
        let packet = pb::ClientPacket {
            frames: vec![pong(1), pong(2)],
        }
        .encode_to_vec();
        let cut = Bytes::from(packet[..packet.len() - 1].to_vec());
        let mut frames = Frames::of(cut);
        assert!(frames.next().unwrap().is_ok());
        assert!(frames.next().unwrap().is_err());
        assert!(frames.next().is_none() && frames.is_empty());
    }

    #[test]
    fn a_packet_without_frames_is_an_empty_one_once() {
        // Nothing, and a field of the packet that nobody knows.
        for bytes in [&[][..], &[0xa2, 0x06, 0x01, 0x61]] {
            let mut frames = Frames::of(Bytes::from_static(bytes));
            assert!(!frames.is_empty());
            assert_eq!(frames.next(), Some(Ok(pb::ClientFrame::default())));
            assert!(frames.next().is_none() && frames.is_empty());
        }
        assert!(Frames::default().next().is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_as_the_whole_packet_would_be(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let bytes = Bytes::from(bytes);
            let whole = pb::ClientPacket::decode(bytes.clone()).map(|packet| packet.frames);
            let whole = whole.map(|frames| match &frames[..] {
                [] => vec![pb::ClientFrame::default()],
                _ => frames,
            });
            let lazily: Result<Vec<_>, _> = Frames::of(bytes).collect();
            prop_assert_eq!(lazily.ok(), whole.ok());
        }
    }
}
