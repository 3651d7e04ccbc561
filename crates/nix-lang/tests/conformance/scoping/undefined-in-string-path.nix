./${nope}
