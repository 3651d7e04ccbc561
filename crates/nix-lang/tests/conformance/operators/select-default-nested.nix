{ }.a.b.c or { }.d or 5
