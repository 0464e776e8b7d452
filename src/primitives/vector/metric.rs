//! How near two vectors are.
//!
//! - Less is nearer, whatever the metric, and every distance of vectors that a store takes is finite.
//! - What the graph computes and what an exact search computes is the same function, so that their
//!   distances can be compared.
//! - Distances are computed by the processor's widest instructions and differ in their last digits
//!   from one machine to another. Nothing that is stored depends on them.

use freehold::prelude::*;

/// The longest vector, so that no distance of two of them overflows.
pub const VECTOR_LENGTH_MAX: f32 = 4.0e18;

/// Below this length the direction of a vector is lost to rounding: it counts as zero.
const LENGTH_MIN: f32 = 1.0e-18;

/// How the distance of two vectors is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Stored)]
pub enum Metric {
    /// One minus the cosine of the angle between them: from 0 for the same direction to 2 for the
    /// opposite one. A vector that is zero, or shorter than 10⁻¹⁸, has no direction; its distance to
    /// every other is 1, as of a right angle.
    #[default]
    Cosine,
    /// Their dot product, negated: what has the greatest product is nearest. The distance may be
    /// negative.
    Dot,
    /// The square of their Euclidean distance; its root orders them in the same way.
    L2,
}

/// A vector and its Euclidean length, which is computed once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured<'a> {
    pub(super) vector: &'a [f32],
    pub(super) length: f32,
}

/// The Euclidean length. Summed in order and in double precision, so that it is the same everywhere.
pub(super) fn length(vector: &[f32]) -> f32 {
    vector.iter().map(|&number| f64::from(number) * f64::from(number)).sum::<f64>().sqrt() as f32
}

impl Metric {
    /// The distance of two vectors of one dimension. One of another dimension, which no operation lets
    /// in, is as far as can be.
    pub(super) fn between(self, one: Measured<'_>, other: Measured<'_>) -> f32 {
        if one.vector.len() != other.vector.len() {
            return f32::MAX;
        }
        match self {
            Metric::Cosine => {
                if one.length < LENGTH_MIN || other.length < LENGTH_MIN {
                    return 1.0;
                }
                let cosine = innr::dot(one.vector, other.vector) / (one.length * other.length);
                (1.0 - cosine).clamp(0.0, 2.0)
            }
            // Not the negative: minus zero would stand before zero.
            Metric::Dot => 0.0 - innr::dot(one.vector, other.vector),
            Metric::L2 => innr::l2_distance_squared(one.vector, other.vector),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(metric: Metric, one: &[f32], other: &[f32]) -> f32 {
        let measured = |vector| Measured { vector, length: length(vector) };
        metric.between(measured(one), measured(other))
    }

    #[test]
    fn distances_are_what_they_are_said_to_be() {
        let (east, north, far) = ([1.0, 0.0], [0.0, 1.0], [3.0, 4.0]);
        assert_eq!(between(Metric::Cosine, &east, &north), 1.0);
        assert_eq!(between(Metric::Cosine, &east, &[-2.0, 0.0]), 2.0);
        assert_eq!(between(Metric::Cosine, &east, &[7.0, 0.0]), 0.0);
        assert_eq!(between(Metric::Dot, &east, &far), -3.0);
        assert_eq!(between(Metric::L2, &east, &far), 20.0);
    }

    #[test]
    fn a_vector_without_a_direction_is_at_a_right_angle_to_all() {
        for zero in [[0.0, 0.0], [-0.0, 0.0], [1e-19, 0.0], [f32::MIN_POSITIVE, 0.0]] {
            assert_eq!(between(Metric::Cosine, &zero, &[1.0, 0.0]), 1.0);
            assert_eq!(between(Metric::Cosine, &zero, &zero), 1.0);
        }
        let tiny = [2e-18, 0.0];
        assert!(between(Metric::Cosine, &tiny, &tiny) < 1e-6);
        assert!(between(Metric::Cosine, &tiny, &[3e18, 0.0]) < 1e-6);
    }

    #[test]
    fn the_longest_vectors_have_finite_distances() {
        let long = [VECTOR_LENGTH_MAX, 0.0];
        let back = [-VECTOR_LENGTH_MAX, 0.0];
        for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
            assert!(between(metric, &long, &back).is_finite(), "{metric:?}");
            assert!(between(metric, &long, &long).is_finite(), "{metric:?}");
        }
    }
}
