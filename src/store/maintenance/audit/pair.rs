//! Which login goes with which recorded success, of one user and one reporter. Pure, and a function of the two sets: it must
//! not know where they are kept.
//!
//! In the order of time, each login goes with the earliest success in the reporter's window that no other login has. First
//! where both name the same client; then, of what is left, where one of the two names none, so that a record without a client
//! takes nobody's place. All windows of a reporter are equally long: of one client's logins, no other pairing has more pairs.
//! So *how many* are left over is exact; *which* of several that are close to each other, nobody can tell ([`Pairs::instead_of_login`]).

use std::ops::RangeInclusive;

/// A login or a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// In milliseconds since 1970.
    pub(super) at: i64,
    /// The client's number in the audit; none where it is not known.
    pub(super) client: Option<u32>,
}

impl Moment {
    /// Whether nothing says that they are of two clients.
    fn may_share_client(&self, other: &Self) -> bool {
        self.client.is_none() || other.client.is_none() || self.client == other.client
    }
}

/// Of each login its success, and of each success its login, by their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pairs {
    pub(super) of_logins: Vec<Option<usize>>,
    pub(super) of_successes: Vec<Option<usize>>,
}

/// Both sides, each in the order of time, and how much later than its login a success may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) window: &'a RangeInclusive<i64>,
    pub(super) logins: &'a [Moment],
    pub(super) successes: &'a [Moment],
}

impl Pairs {
    pub(super) fn of(sides: Sides<'_>) -> Self {
        let mut pairs = Self {
            of_logins: vec![None; sides.logins.len()],
            of_successes: vec![None; sides.successes.len()],
        };
        pairs.add(sides, |login, success| login.client.is_some() && login.client == success.client);
        pairs.add(sides, Moment::may_share_client);
        pairs
    }

    /// Pairs what is left and goes together.
    fn add(&mut self, sides: Sides<'_>, go_together: impl Fn(&Moment, &Moment) -> bool) {
        let mut first = 0;
        for (place, login) in sides.logins.iter().enumerate() {
            if self.of_logins.get(place).is_none_or(Option::is_some) {
                continue;
            }
            // What is too early for this login, or taken, is so for all later ones.
            while sides
                .successes
                .get(first)
                .is_some_and(|success| success.at - login.at < *sides.window.start() || !self.is_free(first))
            {
                first += 1;
            }
            let around = sides.successes.iter().enumerate().skip(first);
            let mut around = around.take_while(|(_, success)| success.at - login.at <= *sides.window.end());
            let earliest =
                around.find(|(place, success)| self.is_free(*place) && go_together(login, success));
            if let Some((success, _)) = earliest {
                set(&mut self.of_logins, place, success);
                set(&mut self.of_successes, success, place);
            }
        }
    }

    fn is_free(&self, success: usize) -> bool {
        self.of_successes.get(success).is_some_and(Option::is_none)
    }

    /// Up to `limit` other logins, each of which another pairing with as many pairs would leave over in the place of this one.
    pub(super) fn instead_of_login(&self, sides: Sides<'_>, login: usize, limit: usize) -> Vec<usize> {
        let near = |login: usize| {
            let login = sides.logins.get(login);
            let at = login.map_or(0, |login| login.at);
            let range = at + sides.window.start()..=at + sides.window.end();
            near(sides.successes, login, range)
        };
        instead(login, limit, near, &self.of_successes)
    }

    /// The same of a success.
    pub(super) fn instead_of_success(&self, sides: Sides<'_>, success: usize, limit: usize) -> Vec<usize> {
        let near = |success: usize| {
            let success = sides.successes.get(success);
            let at = success.map_or(0, |success| success.at);
            let range = at - sides.window.end()..=at - sides.window.start();
            near(sides.logins, success, range)
        };
        instead(success, limit, near, &self.of_logins)
    }
}

fn set(places: &mut [Option<usize>], place: usize, other: usize) {
    if let Some(slot) = places.get_mut(place) {
        *slot = Some(other);
    }
}

/// What of the other side `moment` could go with.
fn near(others: &[Moment], moment: Option<&Moment>, range: RangeInclusive<i64>) -> Vec<usize> {
    let Some(moment) = moment else { return Vec::new() };
    let first = others.partition_point(|other| other.at < *range.start());
    let others = others.iter().enumerate().skip(first).take_while(|(_, other)| other.at <= *range.end());
    others.filter(|(_, other)| moment.may_share_client(other)).map(|(place, _)| place).collect()
}

/// Where `start` could take the other side's partner away from another of its own side, that one would be left over, and so on.
fn instead(
    start: usize,
    limit: usize,
    near: impl Fn(usize) -> Vec<usize>,
    partners: &[Option<usize>],
) -> Vec<usize> {
    let (mut found, mut next) = (vec![start], 0);
    while let Some(place) = found.get(next).copied() {
        for partner in near(place).into_iter().filter_map(|other| partners.get(other).copied().flatten()) {
            if found.len() > limit {
                break;
            }
            if !found.contains(&partner) {
                found.push(partner);
            }
        }
        next += 1;
    }
    found.split_off(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    const WINDOW: RangeInclusive<i64> = -2..=8;

    fn moment(at: i64, client: Option<u32>) -> Moment {
        Moment { at, client }
    }

    fn pairs(logins: &[Moment], successes: &[Moment]) -> Vec<Option<usize>> {
        Pairs::of(Sides { window: &WINDOW, logins, successes }).of_logins
    }

    #[test]
    fn a_login_goes_with_the_earliest_success_that_is_left_in_the_window() {
        let one = |at| moment(at, Some(1));
        assert_eq!(pairs(&[one(10)], &[one(7), one(8), one(9)]), [Some(1)]);
        assert_eq!(pairs(&[one(10)], &[one(18), one(19)]), [Some(0)]);
        assert_eq!(pairs(&[one(10)], &[one(19)]), [None]);
        assert_eq!(pairs(&[one(10), one(11)], &[one(12), one(13)]), [Some(0), Some(1)]);
        assert_eq!(pairs(&[one(10), one(11), one(12)], &[one(12), one(13)]), [Some(0), Some(1), None]);
        assert_eq!(pairs(&[one(10), one(30)], &[one(30)]), [None, Some(0)]);
    }

    #[test]
    fn the_same_client_comes_before_an_unknown_one_and_another_never_counts() {
        let (mine, other, unknown) = (Some(1), Some(2), None);
        assert_eq!(pairs(&[moment(10, mine)], &[moment(10, other)]), [None]);
        assert_eq!(pairs(&[moment(10, mine)], &[moment(10, unknown), moment(12, mine)]), [Some(1)]);
        assert_eq!(pairs(&[moment(10, mine)], &[moment(10, unknown)]), [Some(0)]);
        assert_eq!(pairs(&[moment(10, unknown)], &[moment(10, mine)]), [Some(0)]);
        assert_eq!(pairs(&[moment(10, unknown)], &[moment(10, unknown)]), [Some(0)]);
        // The first login names no client: the second one's record is not for it.
        let logins = [moment(10, unknown), moment(11, mine)];
        assert_eq!(pairs(&logins, &[moment(11, mine)]), [None, Some(0)]);
    }

    #[test]
    fn who_could_have_been_left_over_instead_is_named() {
        let one = |at| moment(at, Some(1));
        let (logins, successes) = ([one(10), one(11), one(12), one(100)], [one(12), one(13), one(100)]);
        let sides = Sides { window: &WINDOW, logins: &logins, successes: &successes };
        let pairs = Pairs::of(sides);
        assert_eq!(pairs.of_logins, [Some(0), Some(1), None, Some(2)]);
        assert_eq!(
            pairs.instead_of_login(sides, 2, 16),
            [0, 1],
            "any of the three, and not the one far away"
        );
        assert_eq!(pairs.instead_of_login(sides, 2, 1), [0], "no more than asked for");
        let sides = Sides { window: &WINDOW, logins: &logins[..1], successes: &successes };
        let pairs = Pairs::of(sides);
        assert_eq!(pairs.of_successes, [Some(0), None, None]);
        assert_eq!(pairs.instead_of_success(sides, 1, 16), [0]);
        assert_eq!(pairs.instead_of_success(sides, 2, 16), [0; 0]);
    }

    /// The rule, word by word, and as slow as that is.
    fn by_the_rule(logins: &[Moment], successes: &[Moment]) -> BTreeSet<(usize, usize)> {
        let mut pairs: BTreeSet<(usize, usize)> = BTreeSet::new();
        for both_name_the_client in [true, false] {
            for (login, at) in logins.iter().enumerate() {
                let could = successes.iter().enumerate().filter(|(success, success_at)| {
                    let is_within = (-2..=8).contains(&(success_at.at - at.at));
                    let is_taken = pairs.iter().any(|pair| pair.0 == login || pair.1 == *success);
                    let clients = match (at.client, success_at.client) {
                        (Some(logins), Some(own)) => logins == own,
                        _ => !both_name_the_client,
                    };
                    is_within && !is_taken && clients
                });
                let earliest = could.min_by_key(|(success, success_at)| (success_at.at, *success));
                pairs.extend(earliest.map(|(success, _)| (login, success)));
            }
        }
        pairs
    }

    /// The most pairs that there can be, whatever the order.
    fn most_pairs(logins: &[Moment], successes: &[Moment]) -> usize {
        fn give(
            login: usize,
            near: &[Vec<usize>],
            seen: &mut BTreeSet<usize>,
            of: &mut [Option<usize>],
        ) -> bool {
            near[login].iter().any(|success| {
                let is_new = seen.insert(*success);
                let moves = is_new && of[*success].is_none_or(|other| give(other, near, seen, of));
                if moves {
                    of[*success] = Some(login);
                }
                moves
            })
        }
        let goes = |a: &Moment, b: &Moment| a.may_share_client(b) && WINDOW.contains(&(b.at - a.at));
        let near: Vec<Vec<usize>> = logins
            .iter()
            .map(|login| (0..successes.len()).filter(|place| goes(login, &successes[*place])).collect())
            .collect();
        let mut of = vec![None; successes.len()];
        (0..logins.len()).filter(|login| give(*login, &near, &mut BTreeSet::new(), &mut of)).count()
    }

    fn side(clients: impl Strategy<Value = Option<u32>>) -> impl Strategy<Value = Vec<Moment>> {
        let moments = prop::collection::vec((0_i64..60, clients), 0..14);
        moments.prop_map(|mut moments| {
            moments.sort();
            moments.into_iter().map(|(at, client)| moment(at, client)).collect()
        })
    }

    fn known() -> impl Strategy<Value = Option<u32>> + Clone {
        (1_u32..3).prop_map(Some)
    }

    fn any() -> impl Strategy<Value = Option<u32>> + Clone {
        prop_oneof![Just(None), (1_u32..3).prop_map(Some)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_pairs_are_those_of_the_rule(logins in side(any()), successes in side(any())) {
            let pairs = Pairs::of(Sides { window: &WINDOW, logins: &logins, successes: &successes });
            let found: BTreeSet<_> =
                pairs.of_logins.iter().enumerate().filter_map(|(login, success)| Some((login, (*success)?))).collect();
            prop_assert_eq!(&found, &by_the_rule(&logins, &successes));
            let back: BTreeSet<_> =
                pairs.of_successes.iter().enumerate().filter_map(|(success, login)| Some(((*login)?, success))).collect();
            prop_assert_eq!(found, back);
        }

        #[test]
        fn no_pairing_has_more_pairs_where_the_clients_are_known(logins in side(known()), successes in side(known())) {
            let pairs = Pairs::of(Sides { window: &WINDOW, logins: &logins, successes: &successes });
            prop_assert_eq!(pairs.of_logins.iter().flatten().count(), most_pairs(&logins, &successes));
        }

        #[test]
        fn who_is_named_instead_is_who_can_be_left_over(logins in side(known()), successes in side(known())) {
            let sides = Sides { window: &WINDOW, logins: &logins, successes: &successes };
            let (pairs, most) = (Pairs::of(sides), most_pairs(&logins, &successes));
            let named: BTreeSet<usize> = (0..logins.len())
                .filter(|login| pairs.of_logins[*login].is_none())
                .flat_map(|login| pairs.instead_of_login(sides, login, 100).into_iter().chain([login]))
                .collect();
            let can_be_left_over = |login: &usize| {
                let mut without = logins.clone();
                without.remove(*login);
                most_pairs(&without, &successes) == most
            };
            prop_assert_eq!(named, (0..logins.len()).filter(can_be_left_over).collect::<BTreeSet<_>>());
        }
    }
}
