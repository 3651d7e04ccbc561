{ abc = 1; }.zzzzzz
