[ (1 + 1 == 2) (1 < 2 == true) (!true == false) ]
