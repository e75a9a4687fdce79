use std::time::Duration;

use pm_core::Cidr;

/// How long it is remembered that something was lifted, so that every instance hears of it.
const LIFTED_FOR: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// What is said about a block of addresses. There is one such word for each prefix; another one takes
/// its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whom it is about.
    pub prefix: Cidr,
    /// What it does.
    pub effect: Effect,
    /// Who has said it.
    pub cause: Cause,
    /// Why, in the words of whoever said it.
    pub reason: Box<str>,
    /// The name of whoever said it.
    pub actor: Box<str>,
    /// Since when, in microseconds since 1970.
    pub since_micros: i64,
    /// Until when, in microseconds since 1970; for ever without.
    pub until_micros: Option<i64>,
    /// The how manieth automatic block in a row it is: the next one is twice as long. 0 if it is none.
    pub level: u32,
    /// When nobody needs to know of it any longer, in microseconds since 1970.
    pub forgotten_micros: i64,
    /// The number of the change, which a store gives. 0 before that.
    pub version: u64,
}

/// What an [`Entry`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Lets in, whatever else is said about the same address, a part or the whole.
    Allow,
    /// Keeps out.
    Block,
    /// Nothing: what was said before is taken back.
    Lifted,
}

/// Who has said an [`Entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Too many violations.
    Automatic,
    /// Somebody.
    Manual,
}

/// What somebody wants said about a block of addresses.
///
/// ```
/// use std::time::Duration;
/// use pm_ratelimit::block::Order;
///
/// # fn example() -> Result<(), pm_core::client_ip::InvalidCidr> {
/// let order = Order::on("198.51.100.0/24".parse()?)
///     .because("scraping")
///     .by("ada")
///     .lasting(Duration::from_secs(86_400));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "it is not carried out until a list is given it"]
pub struct Order {
    prefix: Cidr,
    reason: Box<str>,
    actor: Box<str>,
    lasting: Option<Duration>,
}

impl Order {
    /// About these addresses, for ever.
    pub fn on(prefix: Cidr) -> Self {
        Self {
            prefix,
            reason: "".into(),
            actor: "".into(),
            lasting: None,
        }
    }

    /// Why. It is for those who administer; whoever is blocked is not told.
    pub fn because(mut self, reason: impl Into<Box<str>>) -> Self {
        self.reason = reason.into();
        self
    }

    /// The name of whoever orders it.
    pub fn by(mut self, actor: impl Into<Box<str>>) -> Self {
        self.actor = actor.into();
        self
    }

    /// For how long.
    pub const fn lasting(mut self, duration: Duration) -> Self {
        self.lasting = Some(duration);
        self
    }

    pub(super) fn at(self, now: i64, effect: Effect) -> Entry {
        let until = match effect {
            Effect::Lifted => None,
            Effect::Allow | Effect::Block => self.lasting.map(|lasting| after(now, lasting)),
        };
        Entry {
            prefix: self.prefix,
            effect,
            cause: Cause::Manual,
            reason: self.reason,
            actor: self.actor,
            since_micros: now,
            until_micros: until,
            level: 0,
            forgotten_micros: match effect {
                Effect::Lifted => after(now, LIFTED_FOR),
                Effect::Allow | Effect::Block => until.unwrap_or(i64::MAX),
            },
            version: 0,
        }
    }
}

impl Entry {
    /// Whether it has an effect at this time, in microseconds since 1970.
    #[must_use]
    pub fn is_in_force(&self, now_micros: i64) -> bool {
        self.effect != Effect::Lifted && self.until_micros.is_none_or(|until| now_micros < until)
    }

    /// Whether `new` takes its place. What somebody says always does. What is automatic does not, as
    /// long as somebody has said something else, or something automatic is in force for longer.
    #[must_use]
    pub fn yields_to(&self, new: &Self, now_micros: i64) -> bool {
        if new.cause == Cause::Manual || !self.is_in_force(now_micros) {
            return true;
        }
        self.cause == Cause::Automatic && self.until_micros < new.until_micros
    }
}

impl Effect {
    /// Its name: `allow`, `block` or `lifted`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
            Self::Lifted => "lifted",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Allow, Self::Block, Self::Lifted];
        all.into_iter().find(|effect| effect.as_str() == name)
    }
}

impl Cause {
    /// Its name: `automatic` or `manual`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Manual => "manual",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Automatic, Self::Manual];
        all.into_iter().find(|cause| cause.as_str() == name)
    }
}

/// The time so much later.
pub(crate) fn after(now: i64, duration: Duration) -> i64 {
    let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    now.saturating_add(micros)
}
