{ inherit a
