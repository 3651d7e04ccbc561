let a = "x"; in "${a} ${"y${a}"}${a + "z"}"
