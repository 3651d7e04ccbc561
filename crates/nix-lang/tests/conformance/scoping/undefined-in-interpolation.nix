"${nope}"
