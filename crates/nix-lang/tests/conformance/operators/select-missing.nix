{ abc = 1; abd = 2; x = 3; }.abe
