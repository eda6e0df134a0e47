//! How often anyone may ask: buckets that refill steadily, per user, per address of the network, per sign-in.
//!
//! State is this node's own: with n nodes a client may get n times as much. Buckets that are full again are forgotten.

use crate::clock::{Clock, DAY};
use crate::error::ApiError;
use crate::limits::{Limits, Rate};
use crate::store::UserId;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

impl governor::clock::Clock for Clock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.running().into()
    }
}

#[derive(Debug)]
pub struct Rates {
    users: Buckets<UserId>,
    networks: Buckets<IpAddr>,
    sign_in_networks: Buckets<IpAddr>,
    sign_in_addresses: Buckets<String>,
    mail_addresses: Buckets<String>,
    mails_of_a_day: Buckets<String>,
}

impl Rates {
    pub fn new(limits: &Limits, clock: &Clock) -> Rates {
        Rates {
            users: Buckets::new(limits.user_requests, clock),
            networks: Buckets::new(limits.network_requests, clock),
            sign_in_networks: Buckets::new(limits.network_sign_ins, clock),
            sign_in_addresses: Buckets::new(limits.address_sign_ins, clock),
            mail_addresses: Buckets::new(limits.address_mails, clock),
            mails_of_a_day: Buckets::of_a_day(limits.address_mails_a_day, clock),
        }
    }

    pub fn user(&self, user: UserId) -> Result<(), ApiError> {
        self.users.take(&user)
    }

    pub fn network(&self, ip: IpAddr) -> Result<(), ApiError> {
        self.networks.take(&network(ip))
    }

    /// An attempt to sign in or to register, from a network and for an e-mail address. What is none is not remembered:
    /// it may be anything, of any length.
    pub fn sign_in(&self, ip: IpAddr, address: Option<&str>) -> Result<(), ApiError> {
        self.sign_in_networks.take(&network(ip))?;
        address.map_or(Ok(()), |address| self.sign_in_addresses.take(&address.to_owned()))
    }

    /// A message is asked for, from a network and to an e-mail address.
    pub fn mail(&self, ip: IpAddr, address: &str) -> Result<(), ApiError> {
        self.sign_in_networks.take(&network(ip))?;
        self.mail_addresses.take(&address.to_owned())?;
        self.mails_of_a_day.take(&address.to_owned())
    }

    pub fn forget_idle(&self) {
        self.users.0.retain_recent();
        self.networks.0.retain_recent();
        self.sign_in_networks.0.retain_recent();
        self.sign_in_addresses.0.retain_recent();
        self.mail_addresses.0.retain_recent();
        self.mails_of_a_day.0.retain_recent();
    }
}

/// One bucket a key.
#[derive(Debug)]
struct Buckets<K: Hash + Eq + Clone>(RateLimiter<K, DashMapStateStore<K>, Clock, NoOpMiddleware<Nanos>>);

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(rate: Rate, clock: &Clock) -> Buckets<K> {
        Buckets::with(
            Quota::per_minute(at_least_one(rate.per_minute)).allow_burst(at_least_one(rate.burst)),
            clock,
        )
    }

    /// So many at once, and as many more in a day.
    fn of_a_day(number: u32, clock: &Clock) -> Buckets<K> {
        let number = at_least_one(number);
        let each = Duration::from_millis(DAY.unsigned_abs()) / number.get();
        let quota = Quota::with_period(each).unwrap_or_else(|| Quota::per_minute(number));
        Buckets::with(quota.allow_burst(number), clock)
    }

    fn with(quota: Quota, clock: &Clock) -> Buckets<K> {
        Buckets(RateLimiter::new(quota, DashMapStateStore::default(), clock.clone()))
    }

    fn take(&self, key: &K) -> Result<(), ApiError> {
        self.0.check_key(key).map_err(|until| {
            let wait: Duration = until.wait_time_from(self.0.clock().running().into());
            // rounded up: who waits that long is let in
            ApiError::RateLimited { retry_after: wait.as_millis().div_ceil(1_000).max(1) as u64 }
        })
    }
}

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

/// One household has IPv6 networks of 56 bits, where it has one IPv4 address.
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 72 << 72).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_says_how_long_to_wait_and_refills() {
        let clock = Clock::manual(0);
        let buckets = Buckets::new(Rate { burst: 3, per_minute: 6 }, &clock);
        for _ in 0..3 {
            buckets.take(&"a").unwrap();
        }
        let Err(ApiError::RateLimited { retry_after }) = buckets.take(&"a") else { panic!() };
        assert_eq!(retry_after, 10);
        buckets.take(&"b").unwrap();
        clock.advance(9_999);
        assert!(buckets.take(&"a").is_err());
        clock.advance(1);
        buckets.take(&"a").unwrap();
        assert!(buckets.take(&"a").is_err());
    }

    #[test]
    fn a_day_has_so_many_however_often_it_is_asked() {
        const MINUTE: i64 = 60_000;
        let clock = Clock::manual(0);
        let buckets = Buckets::of_a_day(20, &clock);
        let minutes = 24 * 60;
        let taken = (0..=minutes).filter(|_| {
            clock.advance(MINUTE);
            buckets.take(&"a").is_ok()
        });
        // those at once, and those of the day
        assert_eq!(taken.count(), 40);
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let net = |text: &str| network(text.parse().unwrap());
        assert_eq!(net("2001:db8::1"), net("2001:db8::ffff:1"));
        assert_eq!(net("2001:db8::1"), net("2001:db8:0:ff::1"));
        assert_ne!(net("2001:db8::1"), net("2001:db8:0:100::1"));
        assert_eq!(net("::ffff:192.0.2.1"), net("192.0.2.1"));
        assert_ne!(net("192.0.2.1"), net("192.0.2.2"));
    }
}
