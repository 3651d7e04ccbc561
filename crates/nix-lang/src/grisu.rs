//! Digits of floats by the algorithm Grisu2 (Loitsch, "Printing Floating-Point Numbers Quickly and Accurately
//! with Integers", PLDI 2010), as the JSON library of C++ Nix finds them: enough to read the number back, and
//! in about one of a thousand cases not the fewest.

/// `significand * 2^exponent`.
#[derive(Clone, Copy)]
struct Scaled {
    significand: u64,
    exponent: i32,
}

/// 10^-300, 10^-292, … 10^324, each rounded to 64 bits.
const POWERS: [u64; 79] = [
    0xab70_fe17_c79a_c6ca,
    0xff77_b1fc_bebc_dc4f,
    0xbe56_91ef_416b_d60c,
    0x8dd0_1fad_907f_fc3c,
    0xd351_5c28_3155_9a83,
    0x9d71_ac8f_ada6_c9b5,
    0xea9c_2277_23ee_8bcb,
    0xaecc_4991_4078_536d,
    0x823c_1279_5db6_ce57,
    0xc210_9436_4dfb_5637,
    0x9096_ea6f_3848_984f,
    0xd774_85cb_2582_3ac7,
    0xa086_cfcd_97bf_97f4,
    0xef34_0a98_172a_ace5,
    0xb238_67fb_2a35_b28e,
    0x84c8_d4df_d2c6_3f3b,
    0xc5dd_4427_1ad3_cdba,
    0x936b_9fce_bb25_c996,
    0xdbac_6c24_7d62_a584,
    0xa3ab_6658_0d5f_daf6,
    0xf3e2_f893_dec3_f126,
    0xb5b5_ada8_aaff_80b8,
    0x8762_5f05_6c7c_4a8b,
    0xc9bc_ff60_34c1_3053,
    0x964e_858c_91ba_2655,
    0xdff9_7724_7029_7ebd,
    0xa6df_bd9f_b8e5_b88f,
    0xf8a9_5fcf_8874_7d94,
    0xb944_7093_8fa8_9bcf,
    0x8a08_f0f8_bf0f_156b,
    0xcdb0_2555_6531_31b6,
    0x993f_e2c6_d07b_7fac,
    0xe45c_10c4_2a2b_3b06,
    0xaa24_2499_6973_92d3,
    0xfd87_b5f2_8300_ca0e,
    0xbce5_0864_9211_1aeb,
    0x8cbc_cc09_6f50_88cc,
    0xd1b7_1758_e219_652c,
    0x9c40_0000_0000_0000,
    0xe8d4_a510_0000_0000,
    0xad78_ebc5_ac62_0000,
    0x813f_3978_f894_0984,
    0xc097_ce7b_c907_15b3,
    0x8f7e_32ce_7bea_5c70,
    0xd5d2_38a4_abe9_8068,
    0x9f4f_2726_179a_2245,
    0xed63_a231_d4c4_fb27,
    0xb0de_6538_8cc8_ada8,
    0x83c7_088e_1aab_65db,
    0xc45d_1df9_4271_1d9a,
    0x924d_692c_a61b_e758,
    0xda01_ee64_1a70_8dea,
    0xa26d_a399_9aef_774a,
    0xf209_787b_b47d_6b85,
    0xb454_e4a1_79dd_1877,
    0x865b_8692_5b9b_c5c2,
    0xc835_53c5_c896_5d3d,
    0x952a_b45c_fa97_a0b3,
    0xde46_9fbd_99a0_5fe3,
    0xa59b_c234_db39_8c25,
    0xf6c6_9a72_a398_9f5c,
    0xb7dc_bf53_54e9_bece,
    0x88fc_f317_f222_41e2,
    0xcc20_ce9b_d35c_78a5,
    0x9816_5af3_7b21_53df,
    0xe2a0_b5dc_971f_303a,
    0xa8d9_d153_5ce3_b396,
    0xfb9b_7cd9_a4a7_443c,
    0xbb76_4c4c_a7a4_4410,
    0x8bab_8eef_b640_9c1a,
    0xd01f_ef10_a657_842c,
    0x9b10_a4e5_e991_3129,
    0xe710_9bfb_a19c_0c9d,
    0xac28_20d9_623b_f429,
    0x8044_4b5e_7aa7_cf85,
    0xbf21_e440_03ac_dd2d,
    0x8e67_9c2f_5e44_ff8f,
    0xd433_179d_9c8c_b841,
    0x9e19_db92_b4e3_1ba9,
];
const FIRST_POWER: i32 = -300;
const POWER_STEP: i32 = 8;

/// Products get binary exponents from here to -32, so that their integer part has 32 bits.
const ALPHA: i32 = -60;

impl Scaled {
    fn normalized(self) -> Self {
        let shift = self.significand.leading_zeros();
        Self { significand: self.significand << shift, exponent: self.exponent - shift as i32 }
    }

    /// The upper half of the product, rounded.
    fn times(self, other: Self) -> Self {
        let product = u128::from(self.significand) * u128::from(other.significand);
        Self {
            significand: ((product + (1 << 63)) >> 64) as u64,
            exponent: self.exponent + other.exponent + 64,
        }
    }
}

/// The power of ten that brings `exponent` into range, and which one it is.
fn power_for(exponent: i32) -> (Scaled, i32) {
    let lowest = ALPHA - exponent - 1;
    // log10(2), as a fraction of 2^18.
    let tens = lowest * 78_913 / (1 << 18) + i32::from(lowest > 0);
    let index = (tens - FIRST_POWER + POWER_STEP - 1) / POWER_STEP;
    let decimal = FIRST_POWER + index * POWER_STEP;
    // floor(decimal * log2(10)): where the highest bit of the power is.
    let binary = ((i64::from(decimal) * 1_741_647) >> 19) as i32;
    (Scaled { significand: POWERS[index as usize], exponent: binary - 63 }, decimal)
}

/// The digits of a positive finite number, and the power of ten that the last one counts.
pub(crate) fn digits(number: f64) -> (Vec<u8>, i32) {
    const HIDDEN: u64 = 1 << 52;
    let bits = number.to_bits();
    let (fraction, biased) = (bits & (HIDDEN - 1), ((bits >> 52) & 0x7ff) as i32);
    let value = match biased {
        0 => Scaled { significand: fraction, exponent: -1074 },
        _ => Scaled { significand: fraction | HIDDEN, exponent: biased - 1075 },
    };
    // Half-way to the neighbours; below a power of two they are closer.
    let above = Scaled { significand: 2 * value.significand + 1, exponent: value.exponent - 1 }
        .normalized();
    let below = match fraction == 0 && biased > 1 {
        true => Scaled { significand: 4 * value.significand - 1, exponent: value.exponent - 2 },
        false => Scaled { significand: 2 * value.significand - 1, exponent: value.exponent - 1 },
    };
    let shift = below.exponent - above.exponent;
    let below = Scaled { significand: below.significand << shift, exponent: above.exponent };
    let (power, decimal) = power_for(above.exponent);
    let value = value.normalized().times(power);
    // One unit off on either side: what lies between is safe whatever was rounded.
    let low = below.times(power).significand + 1;
    let high = above.times(power).significand - 1;
    generate(low, value.significand, high, -value.exponent, -decimal)
}

/// Digits of `high` until what is left lies between `low` and `high`, then nearer to `value`. The point is
/// `fraction_bits` from the right.
fn generate(
    low: u64,
    value: u64,
    high: u64,
    fraction_bits: i32,
    mut exponent: i32,
) -> (Vec<u8>, i32) {
    let (mut range, mut distance) = (high - low, high - value);
    let one = 1u64 << fraction_bits;
    let (mut whole, mut part) = (high >> fraction_bits, high & (one - 1));
    let mut digits = Vec::with_capacity(17);
    let mut left = whole.max(1).ilog10() as i32 + 1;
    let mut unit = 10u64.pow(left as u32 - 1);
    while left > 0 {
        digits.push(b'0' + (whole / unit) as u8);
        whole %= unit;
        left -= 1;
        let rest = (whole << fraction_bits) + part;
        if rest <= range {
            round(&mut digits, distance, range, rest, unit << fraction_bits);
            return (digits, exponent + left);
        }
        unit /= 10;
    }
    loop {
        part *= 10;
        digits.push(b'0' + (part >> fraction_bits) as u8);
        part &= one - 1;
        exponent -= 1;
        range *= 10;
        distance *= 10;
        if part <= range {
            round(&mut digits, distance, range, part, one);
            return (digits, exponent);
        }
    }
}

/// Lowers the last digit while that brings the digits nearer to the number and they stay in range.
fn round(digits: &mut [u8], distance: u64, range: u64, mut rest: u64, unit: u64) {
    let Some(last) = digits.last_mut() else { return };
    while rest < distance
        && range - rest >= unit
        && (rest + unit < distance || distance - rest > rest + unit - distance)
    {
        *last -= 1;
        rest += unit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(number: f64) -> String {
        let (digits, exponent) = digits(number);
        format!("{}e{exponent}", String::from_utf8(digits).expect("digits"))
    }

    #[test]
    fn one_digit_more_than_needed_where_the_algorithm_has_it() {
        // What C++ Nix 2.34 prints, which is not the shortest.
        assert_eq!(text(21_960_409_611_558_992.0), "21960409611558992e0");
        assert_eq!(text(0.1), "1e-1");
        assert_eq!(text(5e-324), "5e-324");
        assert_eq!(text(f64::MAX), "17976931348623157e292");
        assert_eq!(text(f64::MIN_POSITIVE), "22250738585072014e-324");
    }

    proptest! {
        #[test]
        fn they_read_back_as_the_number(bits in 1u64..0x7ff0_0000_0000_0000) {
            let number = f64::from_bits(bits);
            prop_assert_eq!(text(number).parse::<f64>(), Ok(number));
        }
    }
}
