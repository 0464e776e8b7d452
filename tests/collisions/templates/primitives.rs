//! Three primitives: at the module's root, in a module inside it, and inside a function.

#![allow(dead_code, reason = "they are linked and not used")]

use freehold::prelude::*;

#[primitive(@ROOT@)]
#[derive(Clone, Default)]
pub struct Root {
    count: u64,
}

#[operations]
impl Root {
    #[wal(@ROOT_OPERATION@)]
    fn count(&mut self) {
        self.count += 1;
    }
}

mod outer {
    pub(crate) mod inner {
        use freehold::prelude::*;

        #[primitive(@NESTED@)]
        #[derive(Clone, Default)]
        pub(crate) struct Nested {
            count: u64,
        }

        #[operations]
        impl Nested {
            #[wal(@NESTED_OPERATION@)]
            fn count(&mut self) {
                self.count += 1;
            }
        }
    }
}

pub fn function() -> u8 {
    #[primitive(@FUNCTION@)]
    #[derive(Clone, Default)]
    struct Function {
        count: u64,
    }

    #[operations]
    impl Function {
        #[wal(@FUNCTION_OPERATION@)]
        fn count(&mut self) {
            self.count += 1;
        }
    }

    Function::TYPE_ID
}
