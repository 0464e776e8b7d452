use freehold::prelude::*;

type Long = OrdMap<(String, String, u64, u64, u64, u64, u64, u64), (u64, u64, u64, u64, u64, u64)>;

#[primitive(id = 0xa0, wal = 0xa0..=0xa3)]
#[derive(Clone, Default)]
struct Notes {
    a_field_with_a_long_name_number_0: Long,
    a_field_with_a_long_name_number_1: Long,
    a_field_with_a_long_name_number_2: Long,
    a_field_with_a_long_name_number_3: Long,
    a_field_with_a_long_name_number_4: Long,
    a_field_with_a_long_name_number_5: Long,
    a_field_with_a_long_name_number_6: Long,
    a_field_with_a_long_name_number_7: Long,
    a_field_with_a_long_name_number_8: Long,
    a_field_with_a_long_name_number_9: Long,
    a_field_with_a_long_name_number_10: Long,
    a_field_with_a_long_name_number_11: Long,
    a_field_with_a_long_name_number_12: Long,
    a_field_with_a_long_name_number_13: Long,
    a_field_with_a_long_name_number_14: Long,
    a_field_with_a_long_name_number_15: Long,
    a_field_with_a_long_name_number_16: Long,
    a_field_with_a_long_name_number_17: Long,
    a_field_with_a_long_name_number_18: Long,
    a_field_with_a_long_name_number_19: Long,
    a_field_with_a_long_name_number_20: Long,
    a_field_with_a_long_name_number_21: Long,
    a_field_with_a_long_name_number_22: Long,
    a_field_with_a_long_name_number_23: Long,
}

#[operations]
impl Notes {}

fn main() {}
